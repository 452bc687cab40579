//! An address that two have, or that is remembered wrongly.

use std::net::IpAddr;

use crate::diagnose::typed::word;
use crate::diagnose::way::owner::Claim;
use crate::diagnose::way::segment::{Crossing, Station};
use crate::diagnose::way::walker::{Direction, Walker};
use crate::diagnose::{Finding, Force, Rung};
use crate::netlink::{Ifindex, NeighbourState};
use crate::netns::NetnsInode;

impl Walker<'_> {
    /// The next hop is there, and the frame gets to it.
    pub(in crate::diagnose::way) fn is_reached(
        &mut self,
        netns: NetnsInode,
        device: Ifindex,
        address: IpAddr,
        station: &Station,
        claim: Claim,
    ) {
        let (from, at) = (self.device_in(netns, device), self.device_in(station.netns, station.link));
        // What is whole only in thought is not told as a fact.
        let mended = |crossing: &&Crossing| {
            self.mended.was_down(crossing.netns, crossing.link)
                || self.mended.is_plugged_in(crossing.netns, crossing.link)
                || crossing.bridge.is_some_and(|bridge| self.mended.was_down(crossing.netns, bridge))
        };
        let whole = station.mends.is_empty() && !station.path.iter().any(|crossing| mended(&crossing));
        let how = match claim {
            Claim::Strong => format!("{address} is {at}"),
            Claim::Weak => format!("{at} answers for {address}, which another of its devices has"),
            Claim::Proxy => format!("{at} answers for {address} (proxy_arp)"),
        };
        if whole {
            let between: Vec<_> = station.path.iter().skip(1).collect();
            let names: Vec<String> =
                between.iter().map(|crossing| self.device(crossing.netns, crossing.link)).collect();
            self.step(Rung::Link, Some(true), format!("{from} is up, and leads to {}", names.join(", ")));
            self.step(self.hop_rung(), Some(true), how);
        }
    }

    /// Others have the next hop's address, too. Returns whose it shall be.
    pub(in crate::diagnose::way) fn shared(
        &mut self,
        netns: NetnsInode,
        device: Ifindex,
        address: IpAddr,
        owner: Station,
        rivals: Vec<Station>,
    ) -> Station {
        let mut all = vec![owner];
        all.extend(rivals);
        // Who is asked about has a right to its address, then who leads on, then who was met before.
        let mut ranks = Vec::new();
        for station in &all {
            let asks = station.netns == self.question.from.netns;
            let routes = self.is_crossing(station.netns, address.is_ipv6());
            let passed = self.out.iter().chain(&self.stages).any(|stage| stage.netns == station.netns);
            ranks.push((asks, routes, passed));
        }
        // Of equals the first.
        let best = ranks.iter().max().copied().unwrap_or_default();
        let right = ranks.iter().position(|rank| *rank == best).unwrap_or(0);
        let clear = ranks.iter().filter(|rank| **rank == best).count() == 1;
        let right = all.swap_remove(right.min(all.len().saturating_sub(1)));
        let (keeps, name) = (self.device_in(right.netns, right.link), self.name(netns));
        for wrong in &all {
            self.mended.take_away(wrong.netns, address);
            let takes = self.device_in(wrong.netns, wrong.link);
            let (theirs, their_device) = (self.name(wrong.netns), self.device(wrong.netns, wrong.link));
            let macs = [&right, wrong].map(|station| self.mac(station));
            let length = self.machine.view(wrong.netns).and_then(|view| {
                view.addresses_of(wrong.link).find(|own| own.address == address).map(|own| own.prefix_length)
            });
            let mut evidence =
                vec![format!("{keeps} has {address}, {}", macs[0]), format!("{takes} has it, too, {}", macs[1])];
            if let Some(entry) = self.machine.neighbour(netns, device, address)
                && let Some(mac) = entry.mac
            {
                evidence.push(format!("{name} takes {mac} for {address} now (`ip neigh`)"));
            }
            let mut fix = Vec::new();
            if let Some(length) = length {
                fix.push(
                    self.machine
                        .ip(wrong.netns, &format!("address del {address}/{length} dev {}", word(&their_device))),
                );
            }
            let device = self.device(netns, device);
            fix.push(self.machine.ip(netns, &format!("neigh flush to {address} dev {}", word(&device))));
            let hint = if clear {
                format!("{theirs} then needs an address of its own")
            } else {
                format!("which of the two should keep {address}, nobody but you can tell")
            };
            let finding = Finding {
                cause: "duplicate-address",
                rung: Rung::Address,
                force: Force::Harms,
                sentence: format!(
                    "{address} is there twice on one link, at {keeps} and at {takes}: whoever spoke last gets the \
                     packets."
                ),
                culprit: self.culprit(wrong.netns, format!("{address} on {their_device}")),
                evidence,
                fix,
                hints: vec![hint],
            };
            self.found(finding);
        }
        right
    }

    /// Whether an address was found twice.
    pub(in crate::diagnose::way) fn is_shared(&self, address: IpAddr) -> bool {
        let called = format!("{address} on ");
        self.findings.iter().any(|found| found.cause == "duplicate-address" && found.culprit.what.starts_with(&called))
    }

    /// What the neighbour table has of the next hop, if it is wrong.
    pub(in crate::diagnose::way) fn remembered(
        &mut self,
        netns: NetnsInode,
        device: Ifindex,
        address: IpAddr,
        station: &Station,
    ) {
        let Some(entry) = self.machine.neighbour(netns, device, address) else { return };
        let (Some(mac), Some(state)) = (entry.mac, entry.state) else { return };
        let Some(right) = self.mac_of(station) else { return };
        let force = match state {
            NeighbourState::Permanent => Force::Stops,
            // The kernel believes it until it has asked that address in vain: some seconds after it is used.
            NeighbourState::Reachable | NeighbourState::Stale | NeighbourState::Delay | NeighbourState::Probe => {
                Force::MayStop
            }
            NeighbourState::Incomplete | NeighbourState::Failed | NeighbourState::Noarp | NeighbourState::None => {
                return;
            }
        };
        if mac == right {
            return;
        }
        let (name, out, whose) = (self.name(netns), self.device(netns, device), self.name(station.netns));
        let at = self.device_in(station.netns, station.link);
        let state = state.name();
        let hint = match force {
            Force::Stops => "a permanent entry is never asked for again; ARP cannot mend it".to_owned(),
            Force::Harms | Force::MayStop => "the kernel asks anew some seconds after the first packet".to_owned(),
        };
        let finding = Finding {
            cause: "stale-neighbour",
            rung: self.hop_rung(),
            force,
            sentence: format!(
                "{name} takes {mac} for {address}, but {whose}'s link-layer address is {right}: the frames arrive at \
                 {whose}, which throws them away as meant for somebody else."
            ),
            culprit: self.culprit(netns, format!("neighbour {address} lladdr {mac} {state} on {out}")),
            evidence: vec![
                format!("`ip neigh` in {name}: {address} dev {out} lladdr {mac} {}", state.to_uppercase()),
                format!("{at} has {right}"),
            ],
            fix: vec![self.machine.ip(netns, &format!("neigh del {address} dev {}", word(&out)))],
            hints: vec![hint],
        };
        self.found(finding);
        if self.direction == Direction::Back {
            self.step(Rung::WayBack, Some(false), format!("{name} sends the answer to {mac}"));
        }
    }

    fn mac_of(&mut self, station: &Station) -> Option<crate::netlink::MacAddress> {
        self.machine.view(station.netns)?.link(station.link)?.mac
    }

    fn mac(&mut self, station: &Station) -> String {
        self.mac_of(station).map_or_else(|| "without a link-layer address".to_owned(), |mac| format!("at {mac}"))
    }
}
