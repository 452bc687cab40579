//! A destination that should be on the link, and nobody there has it.

use std::net::IpAddr;

use super::route::network;
use crate::diagnose::typed::{in_netns, word};
use crate::diagnose::way::mended::ThoughtRoute;
use crate::diagnose::way::reach::owners;
use crate::diagnose::way::segment::Station;
use crate::diagnose::way::walker::{Direction, Walker};
use crate::diagnose::{Finding, Force, Protocol, Rung};
use crate::netlink::{Address, DiagSocket, Ifindex, Transport};
use crate::netns::NetnsInode;
use crate::rules::Backend;

/// No more neighbours than this are asked who listens.
const ASKED: usize = 64;

impl Walker<'_> {
    /// Says why, and returns the device and gateway to go on by, if there are any.
    pub(in crate::diagnose::way) fn nobody(
        &mut self,
        netns: NetnsInode,
        device: Ifindex,
        to: IpAddr,
        translated: bool,
        neighbours: &[Station],
    ) -> Option<(Ifindex, Option<IpAddr>)> {
        // Behind another device of this namespace with the same net?
        if let Some(right) = self.other_cable(netns, device, to) {
            self.two_cables(netns, device, right, to);
            return Some((right, None));
        }
        // Or behind that of a neighbour, to which all are joined by cables of their own?
        for station in neighbours.iter().filter(|station| station.netns != netns) {
            if let Some(right) = self.other_cable(station.netns, station.link, to) {
                let near = self.machine.view(station.netns)?;
                let via = near.addresses_of(station.link).find(|own| own.address.is_ipv6() == to.is_ipv6())?.address;
                self.two_cables(station.netns, station.link, right, to);
                return Some((device, Some(via)));
            }
        }
        if translated && self.direction == Direction::Out {
            self.published_to_nobody(netns, device, to, neighbours);
        } else {
            self.nobody_has_it(netns, device, to, neighbours);
        }
        None
    }

    /// A device other than this one that has the same net, and behind which the address is.
    fn other_cable(&mut self, netns: NetnsInode, device: Ifindex, to: IpAddr) -> Option<Ifindex> {
        let view = self.machine.view(netns)?;
        view.addresses_of(device).find(|own| own.covers(to))?;
        let others: Vec<Ifindex> = view
            .addresses
            .iter()
            .filter(|own: &&Address| own.ifindex != device && own.address != to && own.covers(to))
            .map(|own| own.ifindex)
            .collect();
        others.into_iter().find(|other| owners(self.machine, &self.mended, netns, *other, to, None).owner.is_some())
    }

    fn two_cables(&mut self, netns: NetnsInode, first: Ifindex, second: Ifindex, to: IpAddr) {
        let Some(view) = self.machine.view(netns) else { return };
        let name = self.name(netns);
        let (one, other) = (view.device(first), view.device(second));
        let host = if to.is_ipv6() { 128 } else { 32 };
        self.mended.add_route(ThoughtRoute { netns, net: to, length: host, gateway: None, device: second });
        let mut evidence = Vec::new();
        let mut fix = Vec::new();
        let mut kept = None;
        let bridge = view.bridges().find(|bridge| bridge.ifindex != first && bridge.ifindex != second);
        let bridge = bridge.map_or_else(|| "br0".to_owned(), |bridge| bridge.name.clone());
        if view.bridges().next().is_none() {
            fix.push(self.machine.ip(netns, &format!("link add {bridge} type bridge")));
            fix.push(self.machine.ip(netns, &format!("link set {bridge} up")));
        }
        for (device, called) in [(first, &one), (second, &other)] {
            for own in view.addresses_of(device).filter(|own| own.covers(to)) {
                let Address { address, prefix_length, .. } = own;
                evidence.push(format!(
                    "{called} in {name} has {address}/{prefix_length}: a route to {}",
                    network(*address, *prefix_length)
                ));
                fix.push(
                    self.machine.ip(netns, &format!("address del {address}/{prefix_length} dev {}", word(called))),
                );
                kept = kept.or(Some((*address, *prefix_length)));
            }
        }
        evidence.push(format!("{to} is behind {other}, and the route by {one} is taken"));
        if let Some((address, length)) = kept {
            fix.push(self.machine.ip(netns, &format!("address add {address}/{length} dev {}", word(&bridge))));
        }
        for called in [&one, &other] {
            fix.push(self.machine.ip(netns, &format!("link set {} master {}", word(called), word(&bridge))));
        }
        let net = kept.map_or_else(|| to.to_string(), |(address, length)| network(address, length));
        let finding = Finding {
            cause: "duplicate-routes",
            rung: Rung::Route,
            force: Force::Stops,
            sentence: format!(
                "{name} has {net} on two cables at once, {one} and {other}: the first route wins for all of it, so {to} \
                 is looked for on {one}, where it is not."
            ),
            culprit: self.culprit(netns, format!("{net} on {one} and on {other}")),
            evidence,
            fix,
            hints: vec![format!(
                "without a bridge, a route for each address does it, too: {}",
                self.machine.ip(netns, &format!("route add {to} dev {}", word(&other)))
            )],
        };
        self.found(finding);
    }

    fn published_to_nobody(&mut self, netns: NetnsInode, device: Ifindex, to: IpAddr, neighbours: &[Station]) {
        let (name, out) = (self.name(netns), self.device(netns, device));
        let rule = self.rewrites.iter().rev().find(|(whose, _)| *whose == netns).map(|(_, rule)| rule.clone());
        let rule = rule.or_else(|| self.rewrites.last().map(|(_, rule)| rule.clone()));
        let asked = self.question.to;
        let port = self.question.port.map(|port| format!(" port {port}")).unwrap_or_default();
        let serving = self.who_serves(netns, to, neighbours);
        let mut evidence = vec![self.met(neighbours, to)];
        let mut fix = Vec::new();
        if let Some(rule) = &rule {
            evidence.insert(0, format!("the rule in {name}: {rule}"));
            if let (Backend::Nft, Some(handle)) = (rule.backend, rule.handle) {
                let place = format!("{} {} {}", rule.family, rule.table, rule.chain);
                let changed = serving.as_ref().map(|(_, right)| rule.text.replace(&to.to_string(), &right.to_string()));
                let line = match changed.filter(|changed| *changed != rule.text) {
                    Some(changed) => format!("replace rule {place} handle {handle} {changed}"),
                    None => format!("delete rule {place} handle {handle}"),
                };
                fix.push(in_netns(&name, &format!("nft {}", word(&line))));
            }
        }
        let mut hints =
            vec!["a container that is started again may get another address; rules made by hand do not follow".into()];
        if let (Some((whose, right)), Some(port)) = (&serving, self.port) {
            evidence.push(format!("{whose} listens on port {port}, and has {right}"));
        } else {
            hints.push(
                "who should get it now, the machine does not tell: nobody else there listens on that port".into(),
            );
        }
        let finding = Finding {
            cause: "dnat-wrong-target",
            rung: Rung::Nat,
            force: Force::Stops,
            sentence: format!(
                "{name} rewrites what is for {asked}{port} to {to}, an address that nobody on {out} has: whoever \
                 connects waits for ever."
            ),
            culprit: self.culprit(netns, rule.map_or_else(|| format!("DNAT to {to}"), |rule| rule.to_string())),
            evidence,
            fix,
            hints,
        };
        self.found(finding);
    }

    /// The only one on the link that listens on the port, with its address there.
    fn who_serves(&mut self, netns: NetnsInode, to: IpAddr, neighbours: &[Station]) -> Option<(String, IpAddr)> {
        let port = self.port?;
        let transport = match self.question.protocol {
            Protocol::Tcp => Transport::Tcp,
            Protocol::Udp => Transport::Udp,
            Protocol::Icmp => return None,
        };
        let mut serving = Vec::new();
        for station in neighbours.iter().filter(|station| station.netns != netns).take(ASKED) {
            let Some(view) = self.machine.view(station.netns) else { continue };
            let own = view.addresses_of(station.link).find(|own| own.address.is_ipv6() == to.is_ipv6());
            let Some(address) = own.map(|own| own.address) else { continue };
            let sockets = self.machine.handle(station.netns).and_then(|handle| DiagSocket::open_in(handle).ok());
            let sockets = sockets.and_then(|mut sockets| sockets.listeners(transport).ok()).unwrap_or_default();
            let takes = sockets.iter().any(|socket| {
                socket.local.port() == port && (socket.local.ip().is_unspecified() || socket.local.ip() == address)
            });
            if takes {
                serving.push((self.name(station.netns), address));
            }
        }
        if serving.len() == 1 { serving.pop() } else { None }
    }

    fn nobody_has_it(&mut self, netns: NetnsInode, device: Ifindex, to: IpAddr, neighbours: &[Station]) {
        let (name, out) = (self.name(netns), self.device(netns, device));
        let finding = Finding {
            cause: "unknown-host",
            rung: self.hop_rung().min(Rung::Gateway),
            force: Force::Stops,
            sentence: format!("{name} looks for {to} on {out}, and nobody there has that address."),
            culprit: self.culprit(netns, format!("{to} is nobody's")),
            evidence: vec![self.met(neighbours, to)],
            fix: Vec::new(),
            hints: Vec::new(),
        };
        self.found(finding);
    }
}
