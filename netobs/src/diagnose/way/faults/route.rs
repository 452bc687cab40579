//! No route: because a link is down, an address has no net, or nobody made one.

use std::net::IpAddr;

use super::router::Router;
use crate::diagnose::typed::word;
use crate::diagnose::way::mended::ThoughtRoute;
use crate::diagnose::way::segment::is_link_local;
use crate::diagnose::way::walker::{Direction, Walker};
use crate::diagnose::{Finding, Force, Rung};
use crate::netlink::{Address, Ifindex, Refusal, within};
use crate::netns::NetnsInode;

impl Walker<'_> {
    /// The route to `to`, which is there.
    pub(in crate::diagnose::way) fn route_is_there(
        &mut self,
        netns: NetnsInode,
        to: IpAddr,
        gateway: Option<IpAddr>,
        device: Ifindex,
    ) {
        let via = gateway.map(|gateway| format!("via {gateway} ")).unwrap_or_default();
        let (name, device) = (self.name(netns), self.device(netns, device));
        let rung = if self.direction == Direction::Back { Rung::WayBack } else { Rung::Route };
        self.step(rung, Some(true), format!("{name} reaches {to} {via}by {device}"));
    }

    /// There is no route. Says why, and mends it; `false` if there is nothing to go on with.
    pub(in crate::diagnose::way) fn mend_route(
        &mut self,
        netns: NetnsInode,
        to: IpAddr,
        refusal: Refusal,
        came_in: bool,
    ) -> bool {
        match refusal {
            Refusal::NoRoute => {
                self.link_is_down(netns, to)
                    || self.address_has_no_net(netns, to)
                    || self.net_has_no_route(netns, to)
                    || self.nothing_to_send_by(netns, to)
                    || self.not_masqueraded(netns, to, came_in)
                    || self.nobody_made_one(netns, to, came_in)
            }
            Refusal::Unreachable => self.is_forbidden(netns, to, "unreachable-route", "unreachable"),
            Refusal::Prohibited => self.is_forbidden(netns, to, "prohibit-route", "prohibit"),
            Refusal::Blackhole => self.is_forbidden(netns, to, "blackhole-route", "blackhole"),
        }
    }

    /// A link that is switched off took the route along.
    fn link_is_down(&mut self, netns: NetnsInode, to: IpAddr) -> bool {
        let Some(view) = self.machine.view(netns) else { return false };
        let down: Vec<_> = view
            .links
            .iter()
            .filter(|link| !self.mended.is_up(netns, link) && !link.loopback && link.master.is_none())
            .collect();
        let of_family = |own: &&Address| own.address.is_ipv6() == to.is_ipv6() && !is_link_local(own.address);
        let covering = down.iter().find(|link| view.addresses_of(link.ifindex).any(|own| own.covers(to)));
        let any_address = view.addresses.iter().any(|own| {
            let link = view.link(own.ifindex);
            of_family(&own) && link.is_some_and(|link| !link.loopback && self.mended.is_up(netns, link))
        });
        let other = down.iter().find(|link| {
            let has_address = view.addresses_of(link.ifindex).any(|own| of_family(&own));
            // IPv6 addresses go with the link.
            (has_address && !self.has_default(netns, to.is_ipv6()))
                || (!any_address && to.is_ipv6() && link.kind.as_deref() == Some("veth"))
        });
        let Some(link) = covering.or(other).map(|link| link.ifindex) else { return false };
        self.is_down(netns, link, Some(to));
        self.mended.route(netns, to).is_some()
    }

    /// The same, where a route with this prefix length is taken instead, which leads somewhere else.
    pub(in crate::diagnose::way) fn net_went_with_its_link(
        &mut self,
        netns: NetnsInode,
        to: IpAddr,
        taken: u8,
    ) -> bool {
        let Some(view) = self.machine.view(netns) else { return false };
        let is_down = |own: &&Address| {
            let down = view
                .link(own.ifindex)
                .is_some_and(|link| !self.mended.is_up(netns, link) && !link.loopback && link.master.is_none());
            down && own.covers(to) && own.prefix_length > taken
        };
        let Some(link) = view.addresses.iter().find(is_down).map(|own| own.ifindex) else { return false };
        self.is_down(netns, link, Some(to));
        true
    }

    /// The route that comes with an address was taken away, and the packet would take another, or none.
    fn net_has_no_route(&mut self, netns: NetnsInode, to: IpAddr) -> bool {
        self.net_is_cut_off(netns, to, 0)
    }

    /// The same, where a route with this prefix length is taken instead.
    pub(in crate::diagnose::way) fn net_is_cut_off(&mut self, netns: NetnsInode, to: IpAddr, taken: u8) -> bool {
        let Some(view) = self.machine.view(netns) else { return false };
        let own = view.addresses.iter().find(|own| {
            let up = view.link(own.ifindex).is_some_and(|link| {
                // The routes of a VRF's ports are in its own table.
                self.mended.is_up(netns, link) && !link.loopback && link.master.is_none()
            });
            up && own.covers(to) && own.address != to && own.prefix_length > taken
        });
        let Some(own) = own else { return false };
        let Address { address, prefix_length: length, ifindex, .. } = *own;
        let (name, device) = (self.name(netns), self.device(netns, ifindex));
        let other = match self.gateway_of(netns, to) {
            Some(via) => format!("{} is sent to {via} instead", self.subject()),
            None => format!("{} has nowhere to go", self.subject()),
        };
        self.mended.add_route(ThoughtRoute { netns, net: address, length, gateway: None, device: ifindex });
        let net = network(address, length);
        let finding = Finding {
            cause: "connected-route-missing",
            rung: Rung::Route,
            force: Force::Stops,
            sentence: format!("{name} has {address}/{length} on {device} and no route to that net: {other}."),
            culprit: self.culprit(netns, format!("no route to {net}")),
            evidence: vec![
                format!("{device} in {name} has {address}/{length}"),
                format!("{name} has no route to {to}"),
            ],
            fix: vec![
                self.machine.ip(netns, &format!("route add {net} dev {} proto kernel src {address}", word(&device))),
            ],
            hints: vec!["the kernel adds this route with the address, unless it is told not to (noprefixroute)".into()],
        };
        self.found(finding);
        true
    }

    fn nobody_made_one(&mut self, netns: NetnsInode, to: IpAddr, came_in: bool) -> bool {
        let name = self.name(netns);
        let forwards = came_in || self.is_crossing(netns, to.is_ipv6());
        let router = self.find_router(netns, to, None);
        let default = self.has_default(netns, to.is_ipv6());
        let back = self.direction == Direction::Back;
        let (cause, rung) = match (default, forwards, back) {
            (false, false, _) => ("no-default-route", Rung::Route),
            (false, true, false) => ("host-no-route", Rung::Route),
            (false, true, true) if router.is_some_and(|router| router.forwards || router.has_it) => {
                ("host-no-route", Rung::Route)
            }
            (_, _, true) => ("no-route-back", Rung::WayBack),
            (true, _, false) => ("no-route", Rung::Route),
        };
        let told = match (came_in, back) {
            (true, _) => format!("it drops {} and says \"network unreachable\"", self.subject()),
            (false, false) => "no packet is even made: \"Network is unreachable\"".to_owned(),
            (false, true) => "the question arrives, and no answer is sent".to_owned(),
        };
        let near = router.is_some_and(|router| router.address == to);
        let what = if default || near { format!("route to {to}") } else { "default route".to_owned() };
        let mut evidence = vec![format!("`ip route get {to}` in {name}: Network is unreachable")];
        if !default && !near {
            evidence.push(format!("{name} has no default route"));
        }
        let mut fix = Vec::new();
        if let Some(router) = router {
            let whose = self.name(router.netns);
            evidence.push(format!(
                "{} on {} is {whose}, which leads on",
                router.address,
                self.device(netns, router.device)
            ));
            let device = self.device(netns, router.device);
            fix.push(if router.address == to {
                self.machine.ip(netns, &format!("{}route add {to} dev {}", Self::family(to), word(&device)))
            } else {
                self.default_route(netns, router.address)
            });
        }
        let ping = match (forwards, router) {
            (false, Some(router)) => vec![format!("{} still answers a ping: its net needs no gateway", router.address)],
            _ => Vec::new(),
        };
        let finding = Finding {
            cause,
            rung,
            force: Force::Stops,
            sentence: format!("{name} has no {what}: it does not know the way to {to}, and {told}."),
            culprit: self.culprit(netns, format!("no {what}")),
            evidence,
            fix,
            hints: ping,
        };
        self.found(finding);
        match router {
            Some(Router { device, address, .. }) if address == to => {
                let length = if to.is_ipv6() { 128 } else { 32 };
                self.mended.add_route(ThoughtRoute { netns, net: to, length, gateway: None, device });
                true
            }
            Some(router) if router.has_it || router.forwards || !forwards => {
                self.takes_default(netns, router.device, router.address);
                true
            }
            Some(_) | None => false,
        }
    }

    /// A route, or a rule, that says no.
    fn is_forbidden(&mut self, netns: NetnsInode, to: IpAddr, cause: &'static str, kind: &str) -> bool {
        let name = self.name(netns);
        let routes = self.machine.routes(netns).unwrap_or_default();
        let matching = |route: &&crate::netlink::Route| match route.destination {
            Some(net) => within(to, net, route.prefix_length),
            None => route.prefix_length == 0 && route.gateway.is_none_or(|gateway| gateway.is_ipv6() == to.is_ipv6()),
        };
        let special = routes.iter().filter(|route| !route.unicast && !route.local).filter(matching);
        let special = special.max_by_key(|route| route.prefix_length);
        let prefix = special.map(|route| match route.destination {
            Some(net) => format!("{net}/{}", route.prefix_length),
            None => "default".to_owned(),
        });
        let (what, fix) = match &prefix {
            Some(prefix) => {
                let family = Self::family(to);
                let fix = self.machine.ip(netns, &format!("{family}route del {kind} {prefix}"));
                (format!("route {kind} {prefix}"), vec![fix])
            }
            None => (format!("a rule that says {kind} (`ip rule`)"), Vec::new()),
        };
        let finding = Finding {
            cause,
            rung: if self.direction == Direction::Back { Rung::WayBack } else { Rung::Route },
            force: Force::Stops,
            sentence: format!("{name} is told not to send to {to}: {what}. That is where {} ends.", self.subject()),
            culprit: self.culprit(netns, what),
            evidence: vec![format!("`ip route get {to}` in {name} says {kind}")],
            fix,
            hints: Vec::new(),
        };
        self.found(finding);
        // What would be taken without it.
        let next = routes.iter().filter(|route| route.unicast).filter(matching).max_by_key(|route| route.prefix_length);
        let Some((gateway, device)) = next.and_then(|route| Some((route.gateway, route.device?))) else { return false };
        let length = if to.is_ipv6() { 128 } else { 32 };
        self.mended.add_route(ThoughtRoute { netns, net: to, length, gateway, device });
        true
    }
}

/// `10.40.0.0/24` of `10.40.0.2` and 24.
pub(super) fn network(address: IpAddr, length: u8) -> String {
    let net = match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(u32::from(length))).unwrap_or(0);
            IpAddr::from((address.to_bits() & mask).to_be_bytes())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(u32::from(length))).unwrap_or(0);
            IpAddr::from((address.to_bits() & mask).to_be_bytes())
        }
    };
    format!("{net}/{length}")
}
