//! Frames inside of packets: VXLAN.

use std::net::IpAddr;

use super::mended::Mended;
use super::reach::owners;
use super::stage::{End, Stage};
use super::walker::{Direction, Walker};
use crate::diagnose::Protocol;
use crate::diagnose::gate::Traveller;
use crate::diagnose::machine::Machine;
use crate::event::Tuple;
use crate::netlink::{Ifindex, Link, RouteAnswer};
use crate::netns::NetnsInode;

/// Namespaces between two ends of a tunnel.
const HOPS: usize = 8;

/// The VXLAN device of the same network at the other end. `None` if it cannot be found on this machine.
pub(super) fn tunnel_end(
    machine: &mut Machine,
    mended: &Mended,
    netns: NetnsInode,
    link: &Link,
) -> Option<(NetnsInode, Ifindex)> {
    let own = link.vxlan?;
    let remote = own.remote.filter(|remote| !remote.is_multicast())?;
    if let Some(other) = carried_to(machine, mended, netns, remote)
        && let Some(end) = same_network(machine, other, own.id)
    {
        return Some((other, end));
    }
    // The way there is broken: the one whose tunnel leads here is meant.
    let mut found = Vec::new();
    for other in machine.all() {
        let Some(view) = machine.view(other).filter(|view| other != netns && view.owns(remote)) else { continue };
        let leads_here = |link: &&Link| {
            link.vxlan.is_some_and(|vxlan| vxlan.id == own.id && vxlan.remote.is_some() && vxlan.remote == own.local)
        };
        found.extend(view.links.iter().find(leads_here).map(|link| (other, link.ifindex)));
    }
    match found.as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

fn same_network(machine: &mut Machine, netns: NetnsInode, id: Option<u32>) -> Option<Ifindex> {
    let view = machine.view(netns)?;
    let same = |link: &&Link| link.vxlan.is_some_and(|vxlan| vxlan.id == id);
    view.links.iter().find(same).map(|link| link.ifindex)
}

/// The namespace that the tunnel's packets come to, as the routes are.
fn carried_to(machine: &mut Machine, mended: &Mended, start: NetnsInode, remote: IpAddr) -> Option<NetnsInode> {
    let mut netns = start;
    for _ in 0..HOPS {
        let RouteAnswer::Found(found) = machine.matching(netns, remote, None)? else { return None };
        if found.local {
            return (netns != start).then_some(netns);
        }
        let device = *found.devices.first()?;
        // What carries a tunnel does not go through one again.
        if machine.view(netns)?.link(device)?.kind.as_deref() == Some("vxlan") {
            return None;
        }
        let (station, _) = owners(machine, mended, netns, device, found.gateway.unwrap_or(remote), None).owner?;
        netns = station.netns;
    }
    None
}

impl Walker<'_> {
    /// Takes a packet of the tunnel to its other end.
    pub(super) fn through_tunnel(&mut self, netns: NetnsInode, link: Ifindex) -> Vec<Stage> {
        let vxlan = self.machine.view(netns).and_then(|view| view.link(link).and_then(|link| link.vxlan));
        let Some((vxlan, remote)) = vxlan.and_then(|vxlan| Some((vxlan, vxlan.remote?))) else { return Vec::new() };
        let tuple = Tuple { src: vxlan.local, dst: Some(remote), sport: None, dport: vxlan.port };
        let mut outer = Traveller::asked(Protocol::Udp, tuple);
        // Each direction of a tunnel is a flow of its own.
        let direction = std::mem::replace(&mut self.direction, Direction::Out);
        let stages = std::mem::take(&mut self.stages);
        let flows = std::mem::take(&mut self.flows);
        self.depth += 1;
        let end = if self.depth <= 2 { self.carry(netns, None, &mut outer) } else { End::Lost };
        self.depth -= 1;
        self.direction = direction;
        self.flows = flows;
        std::mem::replace(&mut self.stages, stages).into_iter().filter(|_| end != End::Lost).collect()
    }
}
