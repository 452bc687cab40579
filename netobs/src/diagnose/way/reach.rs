//! From a namespace to the next hop: who has its address, and whether a frame gets there.

use std::net::IpAddr;

use super::mended::Mended;
use super::owner::{Claim, answers_for_others, claim};
use super::segment::{Mend, Segment, Station};
use super::walker::Walker;
use crate::diagnose::machine::Machine;
use crate::netlink::{Ifindex, RouteAnswer};
use crate::netns::NetnsInode;

/// Once somebody has the address, this many further stations are asked whether they have it, too.
const RIVALS_SOUGHT: usize = 64;

/// Where the packet gets to on the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// The next namespace.
    Station(Station),
    /// Off this machine.
    Outside(Station),
    /// Nowhere.
    Nobody,
}

/// Who has an address.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    /// The one that is found first, or with the fewest faults before it.
    pub(super) owner: Option<(Station, Claim)>,
    /// Others whose links have the same address, and who are reached without fault.
    pub(super) rivals: Vec<Station>,
    /// Everybody else that was met.
    pub(super) others: Vec<Station>,
    /// The way off this machine, if there is one.
    pub(super) outside: Option<Station>,
    /// A device behind which nobody can look.
    pub(super) blind: Option<(NetnsInode, Ifindex)>,
}

/// Looks for whoever answers for `address` on a link. `asker`: to whom they will answer.
pub(super) fn owners(
    machine: &mut Machine,
    mended: &Mended,
    from: NetnsInode,
    link: Ifindex,
    address: IpAddr,
    asker: Option<IpAddr>,
) -> Owners {
    let mut segment = Segment::of(machine, mended, from, link);
    let mut found = Owners::default();
    let mut weak: Option<Station> = None;
    let mut more = RIVALS_SOUGHT;
    while let Some(station) = segment.next_station() {
        let whole = station.mends.is_empty();
        match claim(segment.machine(), mended, station.netns, station.link, address) {
            Some(Claim::Strong) if station.netns != from => match &found.owner {
                None => found.owner = Some((station, Claim::Strong)),
                Some((first, _)) if whole && first.mends.is_empty() && first.netns != station.netns => {
                    found.rivals.push(station);
                }
                Some(_) => {}
            },
            Some(Claim::Weak) if whole && weak.is_none() && station.netns != from => weak = Some(station),
            Some(_) | None => found.others.push(station),
        }
        if found.owner.is_some() || weak.is_some() {
            if more == 0 {
                break;
            }
            more -= 1;
        }
        if found.owner.as_ref().is_some_and(|(owner, _)| !owner.mends.is_empty()) {
            break;
        }
    }
    found.outside = segment.outside().cloned();
    found.blind = segment.blind();
    if let Some(weak) = weak {
        let better = match &found.owner {
            None => false,
            Some((owner, _)) if owner.mends.is_empty() => true,
            Some((owner, _)) => is_for(owner, &weak) && !leads_back(machine, &weak, asker),
        };
        if !better {
            found.owner = Some((weak, Claim::Weak));
        }
    }
    if found.owner.is_none() && address.is_ipv4() {
        let proxy = found.others.iter().find(|other| {
            other.mends.is_empty()
                && other.netns != from
                && answers_for_others(machine, other.netns, other.link, address)
        });
        found.owner = proxy.map(|proxy| (proxy.clone(), Claim::Proxy));
    }
    found
}

/// Whether the owner is reached by plugging in the very cable whose loose end answers in its stead.
fn is_for(owner: &Station, weak: &Station) -> bool {
    owner.netns == weak.netns
        && matches!(owner.mends.as_slice(), [Mend::Enslave(netns, link, _)] if (*netns, *link) == (weak.netns, weak.link))
}

/// Whether a namespace sends packets for the asker out by the link on which it was asked.
fn leads_back(machine: &mut Machine, weak: &Station, asker: Option<IpAddr>) -> bool {
    let Some(asker) = asker else { return false };
    matches!(machine.matching(weak.netns, asker, None),
        Some(RouteAnswer::Found(found)) if found.devices.contains(&weak.link))
}

impl Walker<'_> {
    /// Finds the next hop on a link, and what is between.
    pub(super) fn reach(
        &mut self,
        netns: NetnsInode,
        device: Ifindex,
        gateway: Option<IpAddr>,
        to: IpAddr,
        translated: bool,
    ) -> Reached {
        let next_hop = gateway.unwrap_or(to);
        let asker = self.own_address(netns, device, next_hop);
        let found = owners(self.machine, &self.mended, netns, device, next_hop, asker);
        if let Some((station, claim)) = found.owner {
            if gateway.is_some()
                && let Some(better) = self.better_gateway(netns, device, &station, to)
            {
                return self.reach(netns, device, Some(better), to, translated);
            }
            self.mend_path(&station);
            let station = if found.rivals.is_empty() {
                station
            } else {
                self.shared(netns, device, next_hop, station, found.rivals)
            };
            if claim == Claim::Strong && station.mends.is_empty() && !self.is_shared(next_hop) {
                self.remembered(netns, device, next_hop, &station);
            }
            self.is_reached(netns, device, next_hop, &station, claim);
            return Reached::Station(station);
        }
        if let Some(station) = found.outside {
            self.mend_path(&station);
            return Reached::Outside(station);
        }
        if let Some((blind, link)) = found.blind {
            let device = self.device(blind, link);
            let name = self.machine.name(blind);
            self.unknown.push(format!("what is behind {device} in {name} cannot be seen; {next_hop} may be there"));
            return Reached::Nobody;
        }
        if let Some((other, upper)) = self.rides_on_a_link(next_hop) {
            let (device, name) = (self.device(other, upper), self.machine.name(other));
            self.unknown.push(format!("{next_hop} is {device} in {name}, which shares another's link: not followed"));
            return Reached::Nobody;
        }
        match gateway {
            Some(gateway) => match self.wrong_gateway(netns, device, gateway, to, &found.others) {
                Some(right) => self.reach(netns, device, Some(right), to, translated),
                None => Reached::Nobody,
            },
            None => match self.nobody(netns, device, to, translated, &found.others) {
                Some((device, gateway)) => self.reach(netns, device, gateway, to, translated),
                None => Reached::Nobody,
            },
        }
    }

    /// Somebody who has the address on a device that hangs on another's link, where no frame can be followed to it.
    fn rides_on_a_link(&mut self, address: IpAddr) -> Option<(NetnsInode, Ifindex)> {
        for netns in self.machine.all() {
            let Some(view) = self.machine.view(netns) else { continue };
            let own = view.addresses.iter().find(|own| own.address == address).map(|own| own.ifindex);
            let kind = own.and_then(|own| view.link(own)).and_then(|link| link.kind.as_deref());
            if let (Some(own), Some("macvlan" | "ipvlan" | "macvtap" | "ipvtap")) = (own, kind) {
                return Some((netns, own));
            }
        }
        None
    }
}
