//! One hook.

use std::net::IpAddr;

use super::traveller::Traveller;
use super::{drops, nat, port};
use crate::diagnose::{Finding, Protocol};
use crate::netlink::{Address, Link};
use crate::rules::{End, InetHook, Packet, Rewrite, Rules};

/// A namespace, as far as netfilter is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The name that netobs has for it.
    pub netns: &'a str,
    /// Its rules.
    pub rules: &'a Rules,
    /// Its links.
    pub links: &'a [Link],
    /// Its addresses.
    pub addresses: &'a [Address],
}

/// A hook that the packet comes to.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// Which one.
    pub hook: InetHook,
    /// The device that the packet came in by. Of a bridged packet the bridge, as netfilter sees it.
    pub iif: Option<&'a str>,
    /// The device that it leaves by, likewise.
    pub oif: Option<&'a str>,
    /// To whom it is sent on the link that it leaves by.
    pub next_hop: Option<IpAddr>,
    /// The ports of a bridge that it crosses, in and out, if it comes to the hook only because of
    /// `net.bridge.bridge-nf-call-iptables`.
    pub bridged: Option<(&'a str, &'a str)>,
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Rules that drop it, or may; rules that rewrite it to what others have already.
    pub findings: Vec<Finding>,
    /// The rule that rewrote it.
    pub rewrite: Option<Rewrite>,
    /// What could not be told of the rules, a line each.
    pub undecided: Vec<String>,
}

/// Takes the traveller through a hook of the namespace where it is. It comes out at the other side whatever happens, in
/// thought; what would stop it is in the findings.
pub fn pass(place: &Place<'_>, hop: &Hop<'_>, traveller: &mut Traveller) -> Passed {
    let has_ports = traveller.protocol() != Protocol::Icmp;
    let packet = &mut traveller.packet;
    packet.iif = hop.iif.map(str::to_owned);
    packet.oif = hop.oif.map(str::to_owned);
    let to = packet.tuple.dst;
    let device = if hop.hook == InetHook::Prerouting { hop.iif } else { hop.oif };
    let own = device.and_then(|device| own_address(place, device, to, hop.next_hop));
    let asked = |packet: &Packet| place.rules.passes(packet, hop.hook, own);
    let passage = if has_ports { port::ask(packet, asked) } else { asked(packet) };
    *packet = passage.after;
    if passage.rewrite.as_ref().is_some_and(|rewrite| !rewrite.sure) {
        traveller.is_uncertain();
    }
    let mut findings: Vec<_> = match &passage.end {
        End::Passes => Vec::new(),
        End::Dropped(rules) => drops::finding(place, hop, traveller, rules, None).into_iter().collect(),
        End::Undecided(rules) => {
            drops::finding(place, hop, traveller, rules, Some(&passage.undecided)).into_iter().collect()
        }
    };
    findings.extend(passage.rewrite.as_ref().and_then(|met| nat::clash(place.netns, met, traveller.protocol())));
    Passed { findings, rewrite: passage.rewrite, undecided: passage.undecided }
}

/// The address that a device gives what it sends (`inet_select_addr`): of the next hop's net if there is one, else its
/// first.
fn own_address(place: &Place<'_>, device: &str, to: Option<IpAddr>, next_hop: Option<IpAddr>) -> Option<IpAddr> {
    let ifindex = place.links.iter().find(|link| link.name == device)?.ifindex;
    let ipv6 = to?.is_ipv6();
    let of_device = |address: &&Address| address.ifindex == ifindex && address.address.is_ipv6() == ipv6;
    let mut all = place.addresses.iter().filter(of_device);
    let near = next_hop.and_then(|hop| all.clone().find(|own| own.covers(hop)));
    near.or_else(|| all.next()).map(|address| address.address)
}
