//! A gateway that is none.

use std::net::IpAddr;

use super::route::network;
use crate::diagnose::typed::word;
use crate::diagnose::way::mended::ThoughtRoute;
use crate::diagnose::way::segment::Station;
use crate::diagnose::way::walker::{Direction, Walker};
use crate::diagnose::{Finding, Force, Rung};
use crate::netlink::{Ifindex, RouteAnswer};
use crate::netns::NetnsInode;

impl Walker<'_> {
    /// A neighbour that leads on, where the one that has the gateway's address forwards nothing.
    pub(in crate::diagnose::way) fn better_gateway(
        &mut self,
        netns: NetnsInode,
        device: Ifindex,
        named: &Station,
        to: IpAddr,
    ) -> Option<IpAddr> {
        let view = self.machine.view(named.netns)?;
        if view.owns(to) || self.is_router(named.netns, to.is_ipv6()) {
            return None;
        }
        let right = self.find_router(netns, to, Some(device))?;
        if right.netns == named.netns || !(right.forwards || right.has_it) {
            return None;
        }
        let whose = self.name(named.netns);
        let gateway = self.gateway_of(netns, to)?;
        let fact = format!("which is {whose}'s, and {whose} forwards nothing");
        self.named_wrongly(netns, device, gateway, right.address, to, fact);
        Some(right.address)
    }

    /// Nobody has the gateway's address. Returns the one that it should be, with the route mended.
    pub(in crate::diagnose::way) fn wrong_gateway(
        &mut self,
        netns: NetnsInode,
        device: Ifindex,
        gateway: IpAddr,
        to: IpAddr,
        neighbours: &[Station],
    ) -> Option<IpAddr> {
        if let Some(right) = self.find_router(netns, to, Some(device)).filter(|right| right.address != gateway) {
            let fact = format!("which nobody on {}'s link has", self.device(netns, device));
            self.named_wrongly(netns, device, gateway, right.address, to, fact);
            return Some(right.address);
        }
        if let Some(found) = self.lost_its_address(netns, device, gateway, neighbours) {
            return Some(found);
        }
        let (name, out) = (self.name(netns), self.device(netns, device));
        let finding = Finding {
            cause: "wrong-gateway",
            rung: Rung::Gateway,
            force: Force::Stops,
            sentence: format!(
                "{name} sends {} for {to} to the gateway {gateway} on {out}, an address that nobody on that link has.",
                self.subject()
            ),
            culprit: self.culprit(netns, format!("gateway {gateway}")),
            evidence: vec![
                format!("`ip route get {to}` in {name}: via {gateway} dev {out}"),
                self.met(neighbours, gateway),
            ],
            fix: Vec::new(),
            hints: vec!["nobody else on that link leads on to it, either".to_owned()],
        };
        self.found(finding);
        None
    }

    fn named_wrongly(
        &mut self,
        netns: NetnsInode,
        device: Ifindex,
        gateway: IpAddr,
        right: IpAddr,
        to: IpAddr,
        fact: String,
    ) {
        let (name, out) = (self.name(netns), self.device(netns, device));
        let others = format!("{right} on {out} leads on to {to}");
        let found = match self.machine.matching(netns, to, None) {
            Some(RouteAnswer::Found(found)) => Some(found),
            Some(RouteAnswer::Refused(_)) | None => None,
        };
        let (net, length) = found.map_or((None, 0), |found| (found.destination, found.prefix_length));
        let prefix = net.map_or_else(|| "default".to_owned(), |net| format!("{net}/{length}"));
        let route = if prefix == "default" { "default route".to_owned() } else { format!("route to {prefix}") };
        let family = Self::family(gateway);
        let finding = Finding {
            cause: "wrong-gateway",
            rung: Rung::Gateway,
            force: Force::Stops,
            sentence: format!("{name}'s {route} leads to {gateway}, {fact}; the gateway there is {right}."),
            culprit: self.culprit(netns, format!("{prefix} via {gateway}")),
            evidence: vec![format!("`ip route get {to}` in {name}: via {gateway} dev {out}"), others],
            fix: vec![
                self.machine.ip(netns, &format!("{family}route replace {prefix} via {right} dev {}", word(&out))),
            ],
            hints: vec![format!("a ping to {right} works all the same: it needs no gateway")],
        };
        self.found(finding);
        let any = if gateway.is_ipv6() { IpAddr::from([0; 16]) } else { IpAddr::from([0; 4]) };
        let route = ThoughtRoute { netns, net: net.unwrap_or(any), length, gateway: Some(right), device };
        self.mended.add_route(route);
    }

    /// The gateway's address belongs to a bridge that has none.
    fn lost_its_address(
        &mut self,
        netns: NetnsInode,
        device: Ifindex,
        gateway: IpAddr,
        neighbours: &[Station],
    ) -> Option<IpAddr> {
        let own = self.own_address(netns, device, gateway)?;
        let view = self.machine.view(netns)?;
        let length = view.addresses.iter().find(|address| address.address == own)?.prefix_length;
        let bare = neighbours.iter().find_map(|station| {
            let view = self.machine.view(station.netns)?;
            let link = view.link(station.link).filter(|link| link.kind.as_deref() == Some("bridge"))?;
            let bare = !view.addresses_of(link.ifindex).any(|own| own.address.is_ipv6() == gateway.is_ipv6());
            (bare && station.netns != netns).then_some((station.netns, link.ifindex))
        });
        let (other, bridge) = bare.filter(|(other, _)| self.is_router(*other, gateway.is_ipv6()))?;
        let (name, theirs, bridge_name) = (self.name(netns), self.name(other), self.device(other, bridge));
        let finding = Finding {
            cause: "gateway-address-missing",
            rung: Rung::Address,
            force: Force::Stops,
            sentence: format!(
                "{bridge_name} in {theirs} has no address, so nobody answers for {name}'s gateway, {gateway}."
            ),
            culprit: self.culprit(other, format!("{bridge_name} has no address")),
            evidence: vec![
                format!("{name}'s gateway is {gateway}, by {}", self.device(netns, device)),
                format!("{bridge_name} in {theirs} is the bridge on that link, and has no address"),
            ],
            fix: vec![self.machine.ip(other, &format!("address add {gateway}/{length} dev {}", word(&bridge_name)))],
            hints: vec![format!("without it {theirs} has no route to {}, either", network(gateway, length))],
        };
        self.found(finding);
        self.mended.give(other, bridge, gateway);
        self.mended.add_route(ThoughtRoute { netns: other, net: gateway, length, gateway: None, device: bridge });
        Some(gateway)
    }

    pub(super) fn gateway_of(&mut self, netns: NetnsInode, to: IpAddr) -> Option<IpAddr> {
        if let Some(thought) = self.mended.route(netns, to) {
            return thought.gateway;
        }
        match self.machine.matching(netns, to, None)? {
            RouteAnswer::Found(found) => found.gateway,
            RouteAnswer::Refused(_) => None,
        }
    }

    /// Whom a search met that did not find an address.
    pub(super) fn met(&mut self, neighbours: &[Station], address: IpAddr) -> String {
        let mut whom: Vec<String> = Vec::new();
        for station in neighbours.iter().take(4) {
            whom.push(self.device_in(station.netns, station.link));
        }
        let more = neighbours.len().saturating_sub(whom.len());
        if more > 0 {
            whom.push(format!("{more} more"));
        }
        match whom.as_slice() {
            [] => format!("nobody else is on that link, and nobody has {address}"),
            _ => format!("on that link are {}: none has {address}", whom.join(", ")),
        }
    }

    /// The rung of what is about the next hop.
    pub(super) fn hop_rung(&self) -> Rung {
        match self.direction {
            Direction::Out => Rung::Gateway,
            Direction::Back => Rung::WayBack,
        }
    }
}
