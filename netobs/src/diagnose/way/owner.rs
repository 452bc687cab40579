//! Who answers when an address is asked for on a link.

use std::net::IpAddr;

use super::mended::Mended;
use crate::diagnose::machine::Machine;
use crate::netlink::{Ifindex, RouteAnswer};
use crate::netns::NetnsInode;

/// How somebody comes to answer for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// The very link that was asked has it.
    Strong,
    /// Another link of the namespace has it: Linux answers ARP for all of its addresses on each of its links
    /// (`arp_ignore` 0). IPv6 does not.
    Weak,
    /// It answers for somebody else, as it was told to (`proxy_arp`).
    Proxy,
}

/// Whether, and how, the namespace answers on this link for the address.
pub(super) fn claim(
    machine: &mut Machine,
    mended: &Mended,
    netns: NetnsInode,
    link: Ifindex,
    address: IpAddr,
) -> Option<Claim> {
    if mended.is_taken_away(netns, address) {
        return None;
    }
    let view = machine.view(netns)?;
    if view.addresses_of(link).any(|own| own.address == address) || mended.is_given(netns, link, address) {
        return Some(Claim::Strong);
    }
    if address.is_ipv6() {
        return None;
    }
    let device = view.link(link)?.name.clone();
    let [all, own] = ["all", &device].map(|device| format!("ipv4/conf/{device}/arp_ignore"));
    if view.owns(address) {
        machine.sysctls(netns, &[&all, &own]);
        let ignore = machine.number(netns, &all).max(machine.number(netns, &own));
        return (ignore.unwrap_or(0) == 0).then_some(Claim::Weak);
    }
    None
}

/// Whether the namespace answers on this link for an address that it only knows a way to.
pub(super) fn answers_for_others(machine: &mut Machine, netns: NetnsInode, link: Ifindex, address: IpAddr) -> bool {
    let Some(device) = machine.view(netns).map(|view| view.device(link)) else { return false };
    let [all, own] = ["all", &device].map(|device| format!("ipv4/conf/{device}/proxy_arp"));
    machine.sysctls(netns, &[&all, &own]);
    let on = [all, own].iter().any(|key| machine.number(netns, key) == Some(1));
    on && matches!(machine.matching(netns, address, None),
        Some(RouteAnswer::Found(found)) if !found.devices.contains(&link))
}
