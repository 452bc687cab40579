//! Who listens where the packet arrives.

use std::net::IpAddr;

use super::Along;
use crate::diagnose::end::{self, Behind};
use crate::diagnose::gate::Traveller;
use crate::diagnose::machine::Machine;
use crate::diagnose::way::{End, Stage, Way};
use crate::diagnose::{Protocol, Question, Rung};
use crate::evidence::Processes;
use crate::netns::NetnsInode;

/// Looks for a socket that takes the packet.
pub(super) fn listener(machine: &mut Machine, way: &Way, question: &Question, along: &mut Along) {
    let (End::Arrives(netns), Some(last)) = (&way.end, way.out.last()) else { return };
    if question.protocol == Protocol::Icmp {
        echoes(machine, *netns, last, question.to, along);
        return;
    }
    let before = way.out.iter().rev().find(|stage| stage.netns != *netns);
    let behind = behind(machine, *netns, last, before);
    let opened: Vec<_> = behind
        .iter()
        .filter_map(|(inode, address)| Some((machine.name(*inode), machine.handle(*inode)?.again().ok()?, *address)))
        .collect();
    let behind: Vec<_> =
        opened.iter().map(|(netns, handle, address)| Behind { netns, handle, address: *address }).collect();
    let traveller = Traveller::arrived(question.protocol, last.tuple_in, last.tuple_out);
    let Some(handle) = machine.handle(*netns) else { return };
    let arrival = end::Arrival {
        netns: &last.name,
        handle,
        traveller: &traveller,
        device: last.input.as_ref().map(|device| device.ifindex),
        behind: &behind,
        from: &question.from,
    };
    match end::listener(&arrival, &mut Processes::default()) {
        Ok(Some(finding)) => along.found(finding),
        Ok(None) => along.fine(Rung::Listener, format!("{} has a socket that takes {}", last.name, traveller.shown())),
        Err(error) => along.not_seen(Rung::Listener, format!("the sockets of {} were not read: {error}", last.name)),
    }
}

/// The namespaces for which this one forwards, with their addresses on the link between them.
fn behind(machine: &mut Machine, netns: NetnsInode, last: &Stage, before: Option<&Stage>) -> Vec<(NetnsInode, IpAddr)> {
    let Some(to) = last.tuple_out.dst else { return Vec::new() };
    let key = if to.is_ipv6() { "ipv6/conf/all/forwarding" } else { "ipv4/ip_forward" };
    let (Some(view), Some(routes)) = (machine.view(netns), machine.routes(netns)) else { return Vec::new() };
    if machine.number(netns, key) != Some(1) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for link in view.links.iter().filter(|link| link.kind.as_deref() == Some("veth")) {
        let Some((other, peer)) = machine.other_end(netns, link.ifindex) else { continue };
        let Some(theirs) = machine.view(other).filter(|_| other != netns) else { continue };
        let address = theirs.addresses_of(peer).find(|own| own.address.is_ipv6() == to.is_ipv6() && !own.link_local);
        // A gateway is the way out, not a container.
        let Some(address) = address.map(|own| own.address) else { continue };
        if !routes.iter().any(|route| route.gateway == Some(address)) {
            found.push((other, address));
        }
    }
    // Asked from the inside by its inner address, the host itself is meant.
    let inside = before.is_some_and(|before| found.iter().any(|(other, _)| *other == before.netns));
    let inner =
        last.input.as_ref().is_some_and(|device| view.addresses_of(device.ifindex).any(|own| own.address == to));
    if inside && inner {
        return Vec::new();
    }
    found.retain(|(other, _)| before.is_none_or(|before| before.netns != *other));
    found
}

/// Whether the kernel answers pings.
fn echoes(machine: &mut Machine, netns: NetnsInode, last: &Stage, to: IpAddr, along: &mut Along) {
    let key = if to.is_ipv6() { "ipv6/icmp/echo_ignore_all" } else { "ipv4/icmp_echo_ignore_all" };
    match machine.number(netns, key) {
        Some(0) => along.fine(Rung::Listener, format!("{} answers pings", last.name)),
        Some(_) => along.found(end::ignores_echo(&last.name, key)),
        None => {}
    }
}
