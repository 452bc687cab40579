//! Where a frame gets to that is sent out by a device: through veth pairs, bridges and VLANs to every link at which it
//! would come to a namespace's IP stack.
//!
//! Links that are switched off and cables that are in no bridge are crossed as well, at a price; so the cheapest path to
//! a station is the one that is there, and if there is none, the one with the fewest faults.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::net::IpAddr;

use super::mended::Mended;
use super::tunnel::tunnel_end;
use crate::diagnose::machine::{Machine, View};
use crate::netlink::{Ifindex, Link};
use crate::netns::NetnsInode;

/// No segment is looked at further than this many devices.
const LIMIT: usize = 20_000;

/// Something without which the frame does not get on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mend {
    /// The link is switched off.
    Up(NetnsInode, Ifindex),
    /// The link is not a port of the bridge.
    Enslave(NetnsInode, Ifindex, Ifindex),
    /// Both ports of the bridge are isolated; the second is named.
    Isolated(NetnsInode, Ifindex, Ifindex),
    /// The bridge does not forward by this port.
    Blocked(NetnsInode, Ifindex),
}

/// Which way a frame passes a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    /// It is sent by it.
    Out,
    /// It comes in by it.
    In,
}

/// A device that a frame passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crossing {
    pub(super) netns: NetnsInode,
    pub(super) link: Ifindex,
    pub(super) side: Side,
    /// The bridge that brought it here from the one before.
    pub(super) bridge: Option<Ifindex>,
}

/// A link at which the frame comes to a namespace's IP stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Station {
    pub(super) netns: NetnsInode,
    pub(super) link: Ifindex,
    /// The devices passed, from the sender's on; the last is the station's own link.
    pub(super) path: Vec<Crossing>,
    /// What has to be mended for it to get there.
    pub(super) mends: Vec<Mend>,
}

/// A place from which the frame goes on.
#[derive(Clone, Copy, Debug)]
struct Node {
    crossing: Crossing,
    /// The VLAN that it is in, if any.
    vlan: Option<u16>,
    from: Option<usize>,
    mend: Option<Mend>,
}

/// A search that goes no further than it is asked to.
pub(super) struct Segment<'m> {
    machine: &'m mut Machine,
    mended: &'m Mended,
    nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<(u32, usize)>>,
    seen: HashSet<(NetnsInode, Ifindex, Side, Option<u16>)>,
    /// A device on the segment that leads off this machine, and the path to it.
    outside: Option<Station>,
    /// A virtual device whose other end cannot be found.
    blind: Option<(NetnsInode, Ifindex)>,
}

impl<'m> Segment<'m> {
    /// What a frame reaches that `link` sends.
    pub(super) fn of(machine: &'m mut Machine, mended: &'m Mended, netns: NetnsInode, link: Ifindex) -> Self {
        let start = Crossing { netns, link, side: Side::Out, bridge: None };
        let mut own = Self {
            machine,
            mended,
            nodes: Vec::new(),
            queue: BinaryHeap::new(),
            seen: HashSet::new(),
            outside: None,
            blind: None,
        };
        own.push(start, None, None, None, 0);
        own
    }

    /// The machine, to ask about a station.
    pub(super) fn machine(&mut self) -> &mut Machine {
        self.machine
    }

    /// A device by which the frame leaves this machine, as far as the search has come.
    pub(super) fn outside(&self) -> Option<&Station> {
        self.outside.as_ref()
    }

    /// A device behind which nobody can look, as far as the search has come.
    pub(super) fn blind(&self) -> Option<(NetnsInode, Ifindex)> {
        self.blind
    }

    /// The next station, those with the fewest faults before them first.
    pub(super) fn next_station(&mut self) -> Option<Station> {
        while let Some(Reverse((cost, index))) = self.queue.pop() {
            let Some(node) = self.nodes.get(index).copied() else { continue };
            let Crossing { netns, link, side, .. } = node.crossing;
            if !self.seen.insert((netns, link, side, node.vlan)) || self.seen.len() > LIMIT {
                continue;
            }
            let Some(view) = self.machine.view(netns) else { continue };
            let Some(link) = view.link(link).cloned() else { continue };
            let is_station = match side {
                Side::Out => {
                    self.send(&view, netns, &link, index, cost);
                    false
                }
                Side::In => self.receive(&view, netns, &link, index, cost),
            };
            // Its own sender is no neighbour of itself.
            if is_station && node.from.is_some() {
                return Some(self.station(index));
            }
        }
        None
    }

    /// The link sends the frame.
    fn send(&mut self, view: &View, netns: NetnsInode, link: &Link, from: usize, cost: u32) {
        let vlan = self.nodes.get(from).and_then(|node| node.vlan);
        let to = |link: Ifindex, netns, side, bridge| Crossing { netns, link, side, bridge };
        match link.kind.as_deref() {
            Some("veth") => match self.machine.other_end(netns, link.ifindex) {
                Some((other, peer)) => self.cross(to(peer, other, Side::In, None), vlan, from, cost),
                None => self.blind = self.blind.or(Some((netns, link.ifindex))),
            },
            Some("bridge") => {
                for port in view.links.iter().filter(|port| self.mended.master(netns, port) == Some(link.ifindex)) {
                    let out = to(port.ifindex, netns, Side::Out, Some(link.ifindex));
                    match self.blocked(netns, port, link) {
                        Some(mend) => self.cross_mended(out, vlan, from, cost, mend),
                        None => self.cross(out, vlan, from, cost),
                    }
                }
                for cable in loose_cables(view, self.mended, netns) {
                    let mend = Mend::Enslave(netns, cable, link.ifindex);
                    self.cross_mended(to(cable, netns, Side::Out, Some(link.ifindex)), vlan, from, cost, mend);
                }
            }
            Some("vlan") => match self.machine.other_end(netns, link.ifindex) {
                Some((below, lower)) => self.cross(to(lower, below, Side::Out, None), link.vlan, from, cost),
                None => self.blind = self.blind.or(Some((netns, link.ifindex))),
            },
            Some("vxlan") => match tunnel_end(self.machine, self.mended, netns, link) {
                Some((other, end)) => self.cross(to(end, other, Side::In, None), vlan, from, cost),
                None if self.outside.is_none() => self.outside = Some(self.station(from)),
                None => {}
            },
            // Hardware, or what a program or a tunnel is behind.
            _ if !link.loopback && self.outside.is_none() => self.outside = Some(self.station(from)),
            _ => {}
        }
    }

    /// The frame comes in by the link. Says whether IP there gets to see it.
    fn receive(&mut self, view: &View, netns: NetnsInode, link: &Link, from: usize, cost: u32) -> bool {
        let vlan = self.nodes.get(from).and_then(|node| node.vlan);
        let to = |link: Ifindex, side, bridge| Crossing { netns, link, side, bridge };
        if let Some(tag) = vlan {
            let upper = view.links.iter().find(|upper| {
                upper.vlan == Some(tag) && upper.peer == Some(link.ifindex) && upper.link_netnsid.is_none()
            });
            if let Some(upper) = upper {
                self.cross(to(upper.ifindex, Side::In, None), None, from, cost);
                return false;
            }
        }
        let master = self.mended.master(netns, link).and_then(|master| view.link(master));
        match master {
            Some(bridge) if bridge.kind.as_deref() == Some("bridge") => {
                self.bridge(view, netns, link, bridge, None, (vlan, from, cost));
                false
            }
            Some(master) => {
                self.cross(to(master.ifindex, Side::In, None), vlan, from, cost);
                false
            }
            None => {
                if loose_cables(view, self.mended, netns).contains(&link.ifindex) {
                    for bridge in view.bridges() {
                        let mend = Mend::Enslave(netns, link.ifindex, bridge.ifindex);
                        self.bridge(view, netns, link, bridge, Some(mend), (vlan, from, cost));
                    }
                }
                vlan.is_none()
            }
        }
    }

    /// A bridge takes the frame from one of its ports: for itself, and for its other ports.
    fn bridge(
        &mut self,
        view: &View,
        netns: NetnsInode,
        port: &Link,
        bridge: &Link,
        mend: Option<Mend>,
        (vlan, from, cost): (Option<u16>, usize, u32),
    ) {
        let to = |link: Ifindex, side, bridge| Crossing { netns, link, side, bridge };
        let on = |own: &mut Self, crossing, further: Option<Mend>| {
            // One mend a step: what is both loose and blocked is only loose once it is plugged in.
            match mend.or(further) {
                Some(mend) => own.cross_mended(crossing, vlan, from, cost, mend),
                None => own.cross(crossing, vlan, from, cost),
            }
        };
        let open = |own: &Self, port: &Link| own.mended.is_open(netns, port.ifindex);
        // A bridge that is switched off passes nothing on, not even from port to port.
        let off = (!self.mended.is_up(netns, bridge)).then_some(Mend::Up(netns, bridge.ifindex));
        let here = off.or_else(|| self.blocked(netns, port, bridge));
        on(self, to(bridge.ifindex, Side::In, Some(bridge.ifindex)), here.filter(|_| off.is_none()));
        for other in &view.links {
            let is_port = self.mended.master(netns, other) == Some(bridge.ifindex);
            if is_port && other.ifindex != port.ifindex {
                let isolated = port.isolated == Some(true) && other.isolated == Some(true);
                let isolated = (isolated && !open(self, other) && !open(self, port)).then_some(Mend::Isolated(
                    netns,
                    port.ifindex,
                    other.ifindex,
                ));
                let further = here.or_else(|| self.blocked(netns, other, bridge)).or(isolated);
                on(self, to(other.ifindex, Side::Out, Some(bridge.ifindex)), further);
            }
        }
        // The cable of whoever is looked for may be loose, too.
        for cable in loose_cables(view, self.mended, netns) {
            if cable != port.ifindex && mend.is_none() && off.is_none() {
                let mend = Mend::Enslave(netns, cable, bridge.ifindex);
                self.cross_mended(to(cable, Side::Out, Some(bridge.ifindex)), vlan, from, cost, mend);
            }
        }
    }

    /// A port that its bridge keeps shut though all of it is up. One without carrier is shut, too, but for that reason.
    fn blocked(&self, netns: NetnsInode, port: &Link, bridge: &Link) -> Option<Mend> {
        let shut = port.forwarding == Some(false) && port.up && port.lower_up && bridge.up;
        (shut && !self.mended.is_open(netns, port.ifindex)).then_some(Mend::Blocked(netns, port.ifindex))
    }

    fn cross(&mut self, to: Crossing, vlan: Option<u16>, from: usize, cost: u32) {
        self.push(to, vlan, Some(from), None, cost);
    }

    fn cross_mended(&mut self, to: Crossing, vlan: Option<u16>, from: usize, cost: u32, mend: Mend) {
        self.push(to, vlan, Some(from), Some(mend), cost + 1);
    }

    fn push(&mut self, crossing: Crossing, vlan: Option<u16>, from: Option<usize>, mend: Option<Mend>, cost: u32) {
        let Crossing { netns, link, side, .. } = crossing;
        if self.seen.contains(&(netns, link, side, vlan)) {
            return;
        }
        let down = self
            .machine
            .view(netns)
            .and_then(|view| view.link(link).map(|link| !self.mended.is_up(netns, link)))
            .unwrap_or(false);
        let mut from = from;
        let mut cost = cost;
        if down && mend != Some(Mend::Up(netns, link)) {
            if let Some(mend) = mend {
                self.nodes.push(Node { crossing, vlan, from, mend: Some(mend) });
                from = Some(self.nodes.len() - 1);
            }
            cost += 1;
        }
        let mend = if down { Some(Mend::Up(netns, link)) } else { mend };
        self.nodes.push(Node { crossing, vlan, from, mend });
        self.queue.push(Reverse((cost, self.nodes.len() - 1)));
    }

    fn station(&self, index: usize) -> Station {
        let mut path: Vec<Crossing> = Vec::new();
        let mut mends = Vec::new();
        let mut at = Some(index);
        while let Some(node) = at.and_then(|index| self.nodes.get(index)) {
            // A link that needs two mends has two nodes.
            if path.last() != Some(&node.crossing) {
                path.push(node.crossing);
            }
            mends.extend(node.mend);
            at = node.from;
        }
        path.reverse();
        mends.reverse();
        let last = path.last().copied();
        let (netns, link) = last.map_or((NetnsInode(0), Ifindex(0)), |last| (last.netns, last.link));
        Station { netns, link, path, mends }
    }
}

/// Ends of cables that are no port of anything and have no address: good for nothing as they are.
pub(super) fn loose_cables(view: &View, mended: &Mended, netns: NetnsInode) -> Vec<Ifindex> {
    let has_bridge = view.bridges().next().is_some();
    let loose = |link: &&Link| {
        has_bridge
            && link.kind.as_deref() == Some("veth")
            && mended.master(netns, link).is_none()
            && !view.addresses_of(link.ifindex).any(|own| !is_link_local(own.address))
            && !view.links.iter().any(|upper| upper.peer == Some(link.ifindex) && upper.kind.as_deref() != Some("veth"))
    };
    view.links.iter().filter(loose).map(|link| link.ifindex).collect()
}

/// fe80::/10, which every link gives itself.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
