//! Links that are switched off, cables that are in no bridge, ports that let nothing through.

use std::net::IpAddr;

use crate::diagnose::typed::word;
use crate::diagnose::way::mended::ThoughtRoute;
use crate::diagnose::way::segment::{Mend, Station, is_link_local, loose_cables};
use crate::diagnose::way::walker::Walker;
use crate::diagnose::{Finding, Force, Rung};
use crate::netlink::{Ifindex, Link};
use crate::netns::NetnsInode;

/// Whose a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Loopback,
    Bridge,
    /// The end of a container's cable that is a bridge's port, or should be.
    HostEnd,
    /// The end inside the container.
    ContainerEnd,
    Other,
}

impl Walker<'_> {
    /// Notes what is broken on a path, and mends it.
    pub(in crate::diagnose::way) fn mend_path(&mut self, station: &Station) {
        for mend in &station.mends {
            if let Mend::Enslave(netns, link, bridge) = *mend
                && station.mends.contains(&Mend::Up(netns, link))
            {
                self.dangles(netns, link, bridge);
            }
        }
        for mend in &station.mends {
            self.mend(*mend);
        }
    }

    /// Notes a fault, unless it was mended before, and mends it.
    pub(in crate::diagnose::way) fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Up(netns, link) => {
                if !self.mended.was_down(netns, link) {
                    self.is_down(netns, link, None);
                }
            }
            Mend::Enslave(netns, link, bridge) => {
                if !self.mended.is_plugged_in(netns, link) {
                    self.is_unplugged(netns, link, bridge);
                }
            }
            Mend::Isolated(netns, one, other) => self.are_isolated(netns, one, other),
            Mend::Blocked(netns, port) => self.is_blocked(netns, port),
        }
    }

    fn role(&mut self, netns: NetnsInode, link: &Link) -> Role {
        if link.loopback {
            return Role::Loopback;
        }
        if link.kind.as_deref() == Some("bridge") {
            return Role::Bridge;
        }
        if link.kind.as_deref() != Some("veth") {
            return Role::Other;
        }
        if self.is_plug(netns, link.ifindex) {
            return Role::HostEnd;
        }
        match self.machine.other_end(netns, link.ifindex) {
            Some((other, peer)) if self.is_plug(other, peer) => Role::ContainerEnd,
            Some(_) if netns == self.question.from.netns && !self.is_crossing(netns, false) => Role::ContainerEnd,
            // Its peer's namespace was asked about from here, by a cable without a bridge.
            Some((other, _)) if other == self.question.from.netns && !self.is_crossing(other, false) => Role::HostEnd,
            Some(_) | None => Role::Other,
        }
    }

    /// Whether a cable's end is a bridge's port, or is loose next to a bridge.
    fn is_plug(&mut self, netns: NetnsInode, link: Ifindex) -> bool {
        let Some(view) = self.machine.view(netns) else { return false };
        let loose = loose_cables(&view, &self.mended, netns).contains(&link);
        loose || view.link(link).is_some_and(|link| self.mended.master(netns, link).is_some())
    }

    /// A link is switched off. `to`: a destination to which there is no route because of it.
    pub(super) fn is_down(&mut self, netns: NetnsInode, ifindex: Ifindex, to: Option<IpAddr>) {
        let Some(view) = self.machine.view(netns) else { return };
        let Some(link) = view.link(ifindex) else { return };
        let role = self.role(netns, link);
        self.mended.switch_on(netns, ifindex);
        let (name, device) = (self.name(netns), link.name.as_str());
        let other = self.machine.other_end(netns, ifindex);
        let other = other.filter(|_| role == Role::HostEnd || role == Role::ContainerEnd || role == Role::Other);
        let mut evidence = vec![format!("{device} in {name} is down (`ip link` shows no UP)")];
        if let Some((netns, peer)) = other
            && let Some(view) = self.machine.view(netns)
            && let Some(peer) = view.link(peer)
        {
            let state = match (peer.up, peer.lower_up) {
                (true, true) => "up",
                (true, false) => "up, but without carrier",
                (false, _) => "down, too",
            };
            evidence.push(format!("its other end, {} in {}, is {state}", peer.name, self.name(netns)));
        }
        let mut fix = vec![self.machine.ip(netns, &format!("link set {} up", word(device)))];
        for own in view.addresses_of(ifindex).filter(|own| !is_link_local(own.address)) {
            let route =
                ThoughtRoute { netns, net: own.address, length: own.prefix_length, gateway: None, device: ifindex };
            self.mended.add_route(route);
        }
        // What led by a gateway on this link is gone for good; what came with an address comes back with it.
        if let Some(to) = to
            && !view.addresses_of(ifindex).any(|own| own.covers(to))
            && let Some(gateway) = self.find_router(netns, to, Some(ifindex))
        {
            evidence.push(format!("{name} has no route to {to}: the kernel drops a link's routes as it goes down"));
            fix.push(self.default_route(netns, gateway.address));
            self.takes_default(netns, gateway.device, gateway.address);
        }
        let whose = other.map(|(other, _)| self.name(other));
        let whose = whose.unwrap_or_else(|| "its peer".to_owned());
        let (cause, sentence) = match role {
            Role::Loopback => (
                "loopback-down",
                format!(
                    "{device} in {name} is switched off: {name} cannot reach itself, neither by 127.0.0.1 nor by any \
                     other of its own addresses."
                ),
            ),
            Role::Bridge => (
                "bridge-down",
                format!(
                    "The bridge {device} in {name} is switched off: whatever comes in by its ports is dropped there, \
                     though the ports themselves are up."
                ),
            ),
            Role::HostEnd => (
                "host-veth-down",
                format!(
                    "{device} in {name}, the host's end of {whose}'s cable, is switched off: the other end has no \
                     carrier, and nothing passes."
                ),
            ),
            Role::ContainerEnd => (
                "container-veth-down",
                format!(
                    "{device} in {name}, its own end of the cable, is switched off, and its routes went with it: \
                     nothing leaves {name}, and nothing gets in."
                ),
            ),
            Role::Other => (
                "device-down",
                format!("{device} in {name} is switched off: nothing leaves by it, and nothing comes in."),
            ),
        };
        let hints = match role {
            Role::HostEnd => vec![format!(
                "capturing on {device} shows nothing: the frames are dropped in {whose} already, as they are sent"
            )],
            Role::Loopback => {
                vec!["state UNKNOWN is how a working lo looks; only the missing UP is the fault".to_owned()]
            }
            Role::Bridge | Role::ContainerEnd | Role::Other => Vec::new(),
        };
        let culprit = self.culprit(netns, format!("{device} is down"));
        self.found(Finding { cause, rung: Rung::Link, force: Force::Stops, sentence, culprit, evidence, fix, hints });
    }

    fn is_unplugged(&mut self, netns: NetnsInode, link: Ifindex, bridge: Ifindex) {
        self.mended.enslave(netns, link, bridge);
        let (name, device, bridge) = (self.name(netns), self.device(netns, link), self.device(netns, bridge));
        let whose = self.machine.other_end(netns, link).map(|(other, peer)| self.device_in(other, peer));
        let whose = whose.map(|whose| format!(", the other end of {whose},")).unwrap_or_default();
        let finding = Finding {
            cause: "veth-not-enslaved",
            rung: Rung::Bridge,
            force: Force::Stops,
            sentence: format!(
                "{device} in {name}{whose} is not a port of {bridge}: the cable ends there, and nothing gets from it \
                 into the bridge or back."
            ),
            culprit: self.culprit(netns, format!("{device} has no master")),
            evidence: vec![
                format!("{device} in {name} is a veth without a master and without an address"),
                format!("{bridge} in {name} is the bridge that leads on: `bridge link` does not list {device}"),
            ],
            fix: vec![self.machine.ip(netns, &format!("link set {} master {}", word(&device), word(&bridge)))],
            hints: vec![format!(
                "{name} may still answer ARP and receive pings by {device}: Linux answers for all of its addresses on \
                 each of its links. Its answers go to {bridge}."
            )],
        };
        self.found(finding);
    }

    /// Both at once are one fault with a name of its own.
    fn dangles(&mut self, netns: NetnsInode, link: Ifindex, bridge: Ifindex) {
        if self.mended.was_down(netns, link) || self.mended.is_plugged_in(netns, link) {
            return;
        }
        self.mended.switch_on(netns, link);
        self.mended.enslave(netns, link, bridge);
        let (name, device, bridge) = (self.name(netns), self.device(netns, link), self.device(netns, bridge));
        let whose = self.machine.other_end(netns, link).map(|(other, peer)| self.device_in(other, peer));
        let whose = whose.map(|whose| format!(", the other end of {whose},")).unwrap_or_default();
        let finding = Finding {
            cause: "dangling-cable",
            rung: Rung::Link,
            force: Force::Stops,
            sentence: format!(
                "{device} in {name}{whose} is neither switched on nor a port of {bridge}: both are missing."
            ),
            culprit: self.culprit(netns, format!("{device} is down and has no master")),
            evidence: vec![
                format!("{device} in {name} is down (`ip link` shows no UP)"),
                format!("{device} in {name} has no master: `bridge link` does not list it"),
            ],
            fix: vec![
                self.machine.ip(netns, &format!("link set {} up", word(&device))),
                self.machine.ip(netns, &format!("link set {} master {}", word(&device), word(&bridge))),
            ],
            hints: vec!["one of the two alone leaves it as broken as before, only in another way".to_owned()],
        };
        self.found(finding);
    }

    fn are_isolated(&mut self, netns: NetnsInode, one: Ifindex, other: Ifindex) {
        self.mended.open_port(netns, one);
        self.mended.open_port(netns, other);
        let (name, one, other) = (self.name(netns), self.device(netns, one), self.device(netns, other));
        let finding = Finding {
            cause: "port-isolated",
            rung: Rung::Bridge,
            force: Force::Stops,
            sentence: format!(
                "{one} and {other} in {name} are both isolated ports of their bridge, which passes nothing from one to \
                 the other."
            ),
            culprit: self.culprit(netns, format!("{one} and {other} are isolated")),
            evidence: vec![format!("`bridge -d link` in {name}: {one} isolated on, {other} isolated on")],
            fix: vec![self.machine.command(netns, &format!("bridge link set dev {} isolated off", word(&other)))],
            hints: vec!["that may be meant so: isolated ports reach the uplink and not each other".to_owned()],
        };
        self.found(finding);
    }

    fn is_blocked(&mut self, netns: NetnsInode, port: Ifindex) {
        self.mended.open_port(netns, port);
        let (name, device) = (self.name(netns), self.device(netns, port));
        let finding = Finding {
            cause: "port-not-forwarding",
            rung: Rung::Bridge,
            force: Force::Stops,
            sentence: format!(
                "{device} in {name} is a port that its bridge does not forward by (spanning tree state): frames are \
                 dropped there."
            ),
            culprit: self.culprit(netns, format!("{device} is not forwarding")),
            evidence: vec![format!(
                "{device} in {name} is up, has carrier and is not in state forwarding (`bridge link`)"
            )],
            fix: vec![self.machine.command(netns, &format!("bridge link set dev {} state 3", word(&device)))],
            hints: vec!["with spanning tree on, a new port waits for 30 seconds before it forwards".to_owned()],
        };
        self.found(finding);
    }

    /// A bridge's port by which the frame would have to leave that came in by it.
    pub(in crate::diagnose::way) fn may_turn_round(
        &mut self,
        netns: NetnsInode,
        port: Ifindex,
        bridge: Ifindex,
        to: IpAddr,
    ) {
        let hairpin = self.machine.view(netns).and_then(|view| view.link(port).and_then(|port| port.hairpin));
        if hairpin != Some(false) || self.mended.is_open(netns, port) {
            return;
        }
        self.mended.open_port(netns, port);
        let (name, device, bridge) = (self.name(netns), self.device(netns, port), self.device(netns, bridge));
        let asked = self.question.to;
        let finding = Finding {
            cause: "hairpin-off",
            rung: Rung::Bridge,
            force: Force::Stops,
            sentence: format!(
                "The packet for {asked} is rewritten to {to} while it is still in {bridge}, and would have to leave by \
                 {device}, by which it came: hairpin is off there, so {name} drops it."
            ),
            culprit: self.culprit(netns, format!("hairpin off on {device}")),
            evidence: vec![
                format!("`bridge -d link` in {name}: {device} hairpin off"),
                format!("a rule in {name} rewrites {asked} to {to}, which is behind {device} itself"),
                format!("{name} shows bridged packets to its IP rules (net.bridge.bridge-nf-call-iptables is 1)"),
            ],
            fix: vec![self.machine.command(netns, &format!("bridge link set dev {} hairpin on", word(&device)))],
            hints: vec!["everybody else reaches that port; only the container that serves it does not".to_owned()],
        };
        self.found(finding);
    }
}
