//! A journey told in names: what JSON prints and text is made of.

use std::collections::HashSet;

use netobs_ebpf::Hook;

use super::firewall::Firewall;
use super::info::{info, meaning};
use super::mss::mss;
use super::neighbour::neighbour;
use super::order::{Order, Place};
use super::time::WallClock;
use crate::event::{Answer, Conntrack, Detail, Direction, Origin, Proto, Tuple, WaitStage, Wrapper};
use crate::evidence::{self, Gatherer};
use crate::explain;
use crate::journey::{self, Bridging, Drop, Ending, Hop, Journey, Outcome, Passage, RewriteKind, Why};
use crate::netlink::MacAddress;
use crate::netns::NetnsInode;
use crate::output::{
    AnswerRecord, BridgeRecord, ConntrackRecord, DropRecord, EndRecord, HopRecord, NatRecord, NeighbourRecord,
    NetfilterRecord, PacketRecord, RuleRecord, TupleRecord,
};
use crate::probe::{HookRow, Kernel};
use crate::state::{Namespaces, Neighbourhood};
use crate::symbols::Symbols;

const AF_INET: u16 = libc::AF_INET as u16;
const AF_INET6: u16 = libc::AF_INET6 as u16;

/// A published address: the namespace that rewrites it, the protocol, and the destination before.
type Published = (NetnsInode, Proto, Tuple);

/// Knows names for the numbers in events.
pub struct Narrator<'k> {
    kernel: &'k Kernel,
    clock: WallClock,
    namespaces: Namespaces,
    neighbourhood: Neighbourhood,
    symbols: Symbols,
    gatherer: Gatherer,
    firewall: Firewall,
    /// Destinations that were seen to be rewritten on arrival: a packet to one of them may be anywhere.
    published: HashSet<Published>,
    lost_events: bool,
}

impl<'k> Narrator<'k> {
    /// Names of the running machine.
    pub fn new(kernel: &'k Kernel, namespaces: Namespaces) -> Self {
        Self {
            kernel,
            clock: WallClock::new(),
            namespaces,
            neighbourhood: Neighbourhood::default(),
            symbols: Symbols::new(),
            gatherer: Gatherer::default(),
            firewall: Firewall::default(),
            published: HashSet::new(),
            lost_events: false,
        }
    }

    /// What is known of namespaces, for whoever else follows them.
    pub fn namespaces(&mut self) -> &mut Namespaces {
        &mut self.namespaces
    }

    /// From now on absence proves nothing.
    pub fn events_were_lost(&mut self) {
        self.lost_events = true;
    }

    /// Judges how a journey ended.
    pub fn judge(&mut self, journey: &Journey) -> Outcome {
        self.remember_published(journey);
        journey::judge(journey, self)
    }

    /// Whether nothing was seen of a packet but that its memory was freed with another's.
    pub fn is_no_packet(&mut self, journey: &Journey) -> bool {
        journey.hops.is_empty() && journey.dropped.as_ref().is_some_and(|drop| self.is_remainder(drop))
    }

    /// Names everything in a journey that ended so.
    pub fn tell(&mut self, journey: &Journey, outcome: Outcome) -> PacketRecord {
        let (parent, relation) = match journey.origin {
            Origin::Matched => (None, None),
            Origin::Clone(parent) => (Some(parent.to_string()), Some("clone")),
            Origin::Retransmission(parent) => (Some(parent.to_string()), Some("retransmission")),
            Origin::Fragment(parent) => (Some(parent.to_string()), Some("fragment")),
            Origin::Segment(parent) => (Some(parent.to_string()), Some("segment")),
        };
        let order = Order::of(journey);
        PacketRecord {
            kind: "packet",
            id: journey.packet.to_string(),
            parent,
            relation,
            time: self.clock.rfc3339(journey.started).unwrap_or_default(),
            proto: journey.headers.proto.name(),
            info: info(&journey.headers, journey.nested.as_deref()),
            length: journey.length,
            tuple: tuple(journey.headers.tuple),
            mss: mss(journey, self, &order),
            hops: order.iter().filter_map(|place| self.place(journey, *place)).collect(),
            nat: self.rewrites(journey, &order),
            pieces: journey.pieces,
            neighbours: self.neighbours(journey, &order),
            outcome: outcome.name(),
            answered: journey.answered.as_ref().map(|(answer, netns)| self.answer(answer, *netns)),
            drop: match &journey.dropped {
                Some(drop) if outcome == Outcome::Dropped => Some(self.drop(drop, journey)),
                _ => None,
            },
            end: self.end(journey, outcome),
        }
    }

    fn place(&mut self, journey: &Journey, place: Place) -> Option<HopRecord> {
        match place {
            Place::Hop(index) => self.hop(journey, index),
            Place::Step(index) => self.step(journey, index),
        }
    }

    fn step(&mut self, journey: &Journey, index: usize) -> Option<HopRecord> {
        let step = journey.steps.get(index)?;
        let device = journey.hops.iter().find(|hop| (hop.netns, hop.ifindex) == (step.netns, step.ifindex));
        let device = match (device, step.netns.zip(step.ifindex)) {
            (Some(hop), Some(_)) => hop.device.map(|device| device.to_string_lossy()),
            (_, Some((netns, device))) => {
                self.neighbourhood.device_name(&mut self.namespaces, netns, device).map(str::to_owned)
            }
            (_, None) => None,
        };
        Some(HopRecord {
            offset_ns: step.time.saturating_sub(journey.started),
            netns: self.netns(step.netns),
            netns_inode: step.netns.map(|netns| netns.0),
            device,
            ifindex: step.ifindex.map(|ifindex| ifindex.0),
            hook: HookRow::of(Hook::Function, step.site).map_or("?", |row| row.name),
            is_function: true,
            length: step.length,
            tuple: tuple(journey.tuple_at_step(index)),
            inner: None,
            ct: None,
            netfilter: None,
            route: None,
            bridge: None,
        })
    }

    fn hop(&mut self, journey: &Journey, index: usize) -> Option<HopRecord> {
        let hop = journey.hops.get(index)?;
        Some(HopRecord {
            offset_ns: hop.time.saturating_sub(journey.started),
            netns: self.netns(hop.netns),
            netns_inode: hop.netns.map(|netns| netns.0),
            device: hop.device.map(|device| device.to_string_lossy()),
            ifindex: hop.ifindex.map(|ifindex| ifindex.0),
            hook: HookRow::of(hop.hook, 0).map_or("?", |row| row.name),
            is_function: false,
            length: Some(hop.length),
            tuple: tuple(hop.headers.tuple),
            inner: hop.nested.as_ref().and_then(|nested| match nested.wrapper {
                Wrapper::Vxlan { .. } => Some(tuple(nested.headers.tuple)),
                Wrapper::IcmpError { .. } => None,
            }),
            ct: hop.conntrack.as_deref().map(conntrack),
            netfilter: hop.passage.as_ref().map(|passage| self.passage(journey, index, passage)),
            route: hop.lookup.as_deref().map(super::route::route),
            bridge: hop.bridging.as_deref().and_then(|bridging| self.bridge(hop, bridging)),
        })
    }

    fn answer(&mut self, answer: &Answer, netns: Option<NetnsInode>) -> AnswerRecord {
        AnswerRecord {
            proto: if answer.is_v6 { "icmp6" } else { "icmp" },
            kind: answer.kind,
            code: answer.code,
            meaning: meaning(answer),
            mtu: answer.mtu,
            sent: answer.is_sent.then_some(true),
            netns: self.netns(netns),
        }
    }

    fn passage(&mut self, journey: &Journey, index: usize, passage: &Passage) -> NetfilterRecord {
        let netns = journey.hops.get(index).and_then(|hop| hop.netns);
        let out = self.output(netns, passage);
        // Seen at a later place, it must have been let through.
        let went_on = || journey.hops.iter().skip(index + 1).any(|hop| !hop.hook.is_call());
        let verdict = if self.dropping_hook(journey) == Some(index) {
            Some("drop")
        } else if passage.left_as.is_some() || went_on() {
            Some("accept")
        } else {
            None
        };
        NetfilterRecord {
            verdict,
            out,
            bridged: passage.is_bridged,
            after: passage.left_as.map(|headers| tuple(headers.tuple)),
        }
    }

    /// `None` where the port is no longer, or was never, one of the device that the packet was handed up to.
    fn bridge(&mut self, hop: &Hop, bridging: &Bridging) -> Option<BridgeRecord> {
        let master = self.neighbourhood.master(&mut self.namespaces, hop.netns?, bridging.port);
        if bridging.is_up && master != hop.ifindex {
            return None;
        }
        let name = self.neighbourhood.device_name(&mut self.namespaces, hop.netns?, master?).map(str::to_owned);
        let port = hop.device.filter(|_| !bridging.is_up);
        Some(BridgeRecord {
            name,
            port: port.map(|device| device.to_string_lossy()),
            destination: bridging.destination.map(|address| address.to_string()),
            why: bridging.why.map(Why::name),
            is_up: bridging.is_up,
            is_group: bridging.destination.is_some_and(MacAddress::is_group),
        })
    }

    fn output(&mut self, netns: Option<NetnsInode>, passage: &Passage) -> Option<String> {
        let name = self.neighbourhood.device_name(&mut self.namespaces, netns?, passage.output?)?;
        Some(name.to_owned())
    }

    /// The netfilter hop that the packet entered and was thrown away in.
    fn dropping_hook(&mut self, journey: &Journey) -> Option<usize> {
        let drop = journey.dropped.as_ref()?;
        if self.kernel.reason(drop.reason) != Some("NETFILTER_DROP") {
            return None;
        }
        let (index, last) = journey.hops.iter().enumerate().rev().find(|(_, hop)| !hop.hook.is_call())?;
        // Behind the last program only conntrack is left, which confirms the entry or drops the packet
        // (`nf_confirm`).
        let is_inside = last.passage.as_ref()?.left_as.is_none();
        (is_inside || self.function(drop.location).as_deref() == Some("nf_hook_slow")).then_some(index)
    }

    fn rewrites(&mut self, journey: &Journey, order: &Order) -> Vec<NatRecord> {
        let mut records = Vec::new();
        for rewrite in &journey.rewrites {
            let found = self.firewall.translated(journey, rewrite, &mut self.namespaces);
            let rule = found.as_ref().and_then(|found| found.rule.as_ref());
            records.push(NatRecord {
                // The packet shows that its source was rewritten; only the rule knows how it came by the new one.
                kind: rule.map_or(rewrite.kind.name(), |rule| rule.deed.name()),
                rule: RuleRecord::of(found),
                netns: self.netns(rewrite.netns),
                hook: rewrite.hook.and_then(|hook| HookRow::of(hook, 0)).map(|row| row.name),
                before: tuple(rewrite.before),
                after: tuple(rewrite.after),
                before_hop: order.rewritten_before(journey, rewrite),
            });
        }
        records
    }

    fn neighbours(&mut self, journey: &Journey, order: &Order) -> Vec<NeighbourRecord> {
        let mut records = Vec::new();
        for waiting in &journey.waits {
            let is_certain = waiting.wait.stage != WaitStage::Dropped
                || journey.dropped.as_ref().is_some_and(|drop| self.is_by_neighbour(drop));
            if is_certain {
                let netns = self.netns(waiting.wait.netns);
                let before_hop = match waiting.wait.since {
                    Some(since) => order.after(journey, since),
                    None => order.of_hop(waiting.before_hop),
                };
                records.push(neighbour(waiting, netns, before_hop));
            }
        }
        records
    }

    /// Whether the packet was thrown away out of a neighbour's queue.
    fn is_by_neighbour(&mut self, drop: &Drop) -> bool {
        self.kernel.reason(drop.reason).is_some_and(|reason| reason.starts_with("NEIGH_"))
            || self
                .function(drop.location)
                .is_some_and(|function| function.trim_start_matches('_').starts_with("neigh_"))
    }

    fn drop(&mut self, drop: &Drop, journey: &Journey) -> DropRecord {
        let reason = self.kernel.reason(drop.reason).map(str::to_owned);
        let function = self.function(drop.location);
        let hop = self.dropping_hook(journey).and_then(|index| journey.hops.get(index));
        let hook = hop.and_then(|hop| HookRow::of(hop.hook, 0));
        let by_a_rule = hop.filter(|hop| hop.passage.as_ref().is_some_and(|passage| passage.left_as.is_none()));
        let found = by_a_rule.and_then(|hop| {
            let out = hop.passage.as_ref().and_then(|passage| self.output(hop.netns, passage));
            self.firewall.dropped((hop, out), drop, function.as_deref(), &mut self.namespaces)
        });
        let explanation = explain::drop(reason.as_deref(), function.as_deref());
        // Addresses as they are where it died, NAT included.
        let last = journey.hops.last();
        let headers = Some(&drop.headers).filter(|headers| headers.tuple.src.is_some());
        let headers = headers.or(last.map(|hop| &hop.headers)).unwrap_or(&journey.headers);
        let here = tuple(headers.tuple);
        let place = explain::Place {
            netns: self.netns(drop.netns),
            device: drop.device.map(|device| device.to_string_lossy()),
            src: here.src,
            dst: here.dst,
        };
        let told = if explanation.kind == explain::Kind::Noise {
            evidence::Told::default()
        } else {
            let scene = evidence::Scene {
                reason: reason.as_deref(),
                function: function.as_deref(),
                netns: place.netns.as_deref(),
                device: place.device.as_deref(),
                ifindex: drop.ifindex,
                headers,
                nested: last.map_or(journey.nested.as_deref(), |hop| hop.nested.as_deref()),
                captured: drop.captured.as_deref(),
                length: drop.length,
                tracked: drop.conntrack.is_some(),
            };
            self.gatherer.tell(&scene, drop.netns, &mut self.namespaces)
        };
        let named = |lines: &[&str]| lines.iter().map(|line| explain::advice(line, &place)).collect();
        DropRecord {
            reason,
            reason_number: drop.reason.0,
            function,
            look: named(explanation.look),
            netns: place.netns.clone(),
            device: place.device.clone(),
            hook: hook.map(|row| row.name),
            rule: RuleRecord::of(found),
            offset_ns: drop.time.saturating_sub(journey.started),
            fault: explanation.kind.is_fault(),
            explanation: explanation.what,
            facts: told.facts,
            evidence: told.evidence,
            evidence_missing: told.missing,
            causes: named(explanation.causes),
        }
    }

    fn end(&mut self, journey: &Journey, outcome: Outcome) -> Option<EndRecord> {
        let last = journey.hops.last();
        let (time, function) = match (&journey.taken, &journey.consumed, &journey.dropped) {
            (Some((time, hook)), _, _) => (Some(*time), HookRow::of(*hook, 0).map(|row| row.function.to_owned())),
            (None, Some((time, location)), _) => (Some(*time), self.function(*location)),
            (None, None, Some(drop)) => (Some(drop.time), self.function(drop.location)),
            (None, None, None) if outcome == Outcome::Delivered => (None, None),
            (None, None, None) => return None,
        };
        let receiver = last
            .filter(|_| outcome == Outcome::Delivered)
            .and_then(|hop| self.gatherer.receiver(&hop.headers, hop.netns?, hop.ifindex, &mut self.namespaces));
        Some(EndRecord {
            offset_ns: time.map(|time| time.saturating_sub(journey.started)),
            function,
            netns: last.and_then(|hop| self.netns(hop.netns)),
            socket: receiver,
        })
    }

    /// The MTU that a hop's device has now.
    pub(super) fn mtu(&mut self, hop: &Hop) -> Option<u32> {
        self.neighbourhood.mtu(&mut self.namespaces, hop.netns?, hop.ifindex?)
    }

    pub(super) fn netns(&mut self, inode: Option<NetnsInode>) -> Option<String> {
        self.namespaces.name(inode?).map(str::to_owned)
    }

    fn function(&mut self, location: Option<u64>) -> Option<String> {
        self.symbols.name(location?).map(str::to_owned)
    }

    /// A destination rewritten on arrival is not where the packet ends, though the namespace has the address.
    fn remember_published(&mut self, journey: &Journey) {
        for rewrite in journey.rewrites.iter().filter(|rewrite| rewrite.kind == RewriteKind::Dnat) {
            if let Some(netns) = rewrite.netns {
                self.published.insert((netns, journey.headers.proto, destination(rewrite.before)));
            }
        }
    }
}

impl Ending for Narrator<'_> {
    fn is_local(&mut self, hop: &Hop) -> Option<bool> {
        let netns = hop.netns?;
        if self.published.contains(&(netns, hop.headers.proto, destination(hop.headers.tuple))) {
            return None;
        }
        self.neighbourhood.is_local(&mut self.namespaces, netns, hop.headers.tuple.dst?)
    }

    fn is_hardware(&mut self, hop: &Hop) -> Option<bool> {
        self.neighbourhood.is_hardware(&mut self.namespaces, hop.netns?, hop.ifindex?)
    }

    fn is_taken(&mut self, journey: &Journey, drop: &Drop) -> bool {
        match self.kernel.reason(drop.reason) {
            // A socket that closes throws away what it had taken and nobody read, a FIN for one.
            Some("QUEUE_PURGE") => matches!(drop.family, Some(AF_INET | AF_INET6)),
            // In 6.1 icmpv6_rcv freed what it had handled in the same way as what it had not.
            Some("NOT_SPECIFIED") => {
                let handled = matches!(journey.headers.detail, Detail::Icmp { kind: 1..=4 | 128..=137 | 143, .. });
                handled && self.function(drop.location).as_deref() == Some("icmpv6_rcv")
            }
            _ => false,
        }
    }

    fn is_remainder(&mut self, drop: &Drop) -> bool {
        self.function(drop.location).as_deref() == Some("skb_release_data")
    }

    fn is_reassembly(&mut self, location: Option<u64>) -> bool {
        self.function(location).as_deref() == Some("inet_frag_reasm_prepare")
    }

    fn is_bridge(&mut self, location: Option<u64>) -> bool {
        self.function(location).is_some_and(|function| function.starts_with("br_"))
    }

    fn lost_events(&mut self) -> bool {
        self.lost_events
    }
}

fn destination(tuple: Tuple) -> Tuple {
    Tuple { src: None, sport: None, ..tuple }
}

fn tuple(tuple: Tuple) -> TupleRecord {
    TupleRecord {
        src: tuple.src.map(|address| address.to_string()),
        dst: tuple.dst.map(|address| address.to_string()),
        sport: tuple.sport,
        dport: tuple.dport,
    }
}

fn conntrack(entry: &Conntrack) -> ConntrackRecord {
    ConntrackRecord {
        state: entry.state.map(|state| state.name()),
        direction: entry.direction.map(|direction| match direction {
            Direction::Original => "original",
            Direction::Reply => "reply",
        }),
        orig: entry.orig.map(tuple),
        reply: entry.reply.map(tuple),
        zone: entry.zone,
        mark: entry.mark,
    }
}

#[cfg(test)]
mod tests {
    use netobs_ebpf::Hook;

    use super::*;

    #[test]
    fn hooks_that_are_not_hops_have_a_function_to_show() {
        for hook in [Hook::SkbCopyDatagram, Hook::TcpProbe] {
            assert!(!HookRow::of(hook, 0).unwrap().function.is_empty());
        }
    }
}
