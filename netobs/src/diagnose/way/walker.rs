//! From namespace to namespace.

use std::net::IpAddr;

use super::mended::Mended;
use super::reach::Reached;
use super::route::Routed;
use super::segment::{Crossing, Mend, Side};
use super::stage::{Device, End, Passage, Stage, Way};
use crate::diagnose::gate::{Flows, Hop, Place, Traveller, pass};
use crate::diagnose::machine::{Machine, View};
use crate::diagnose::{Finding, Question, Rung, Step};
use crate::event::Tuple;
use crate::netlink::Ifindex;
use crate::netns::NetnsInode;
use crate::rules::{InetHook, Rule};

/// A packet that passes more namespaces than this goes in circles: no TTL is larger.
const LIMIT: usize = 64;

/// How a packet came to a namespace.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    /// The device as IP sees it.
    pub(super) device: Ifindex,
    /// The devices below it, in the order of their passing.
    pub(super) below: Vec<Ifindex>,
}

/// Which of the two ways is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Out,
    Back,
}

/// A walk under way.
pub(super) struct Walker<'m> {
    pub(super) machine: &'m mut Machine,
    pub(super) question: &'m Question,
    pub(super) mended: Mended,
    pub(super) direction: Direction,
    pub(super) findings: Vec<Finding>,
    pub(super) checked: Vec<Step>,
    pub(super) unknown: Vec<String>,
    /// The stages of the way that is walked, as far as it was.
    pub(super) stages: Vec<Stage>,
    /// Those of the way out, once the answer is under way.
    pub(super) out: Vec<Stage>,
    /// Rules that rewrote the packet.
    pub(super) rewrites: Vec<(NetnsInode, Rule)>,
    pub(super) flows: Flows,
    /// The port that the packet goes to by now.
    pub(super) port: Option<u16>,
    /// Tunnels that the packet is in.
    pub(super) depth: usize,
}

impl<'m> Walker<'m> {
    pub(super) fn new(machine: &'m mut Machine, question: &'m Question) -> Self {
        Self {
            machine,
            question,
            mended: Mended::default(),
            direction: Direction::Out,
            findings: Vec::new(),
            checked: Vec::new(),
            unknown: Vec::new(),
            stages: Vec::new(),
            out: Vec::new(),
            rewrites: Vec::new(),
            flows: Flows::default(),
            port: None,
            depth: 0,
        }
    }

    pub(super) fn walk(mut self) -> Way {
        let Question { from, to, port, protocol } = self.question;
        let (start, to) = (from.netns, *to);
        if self.machine.view(start).is_none() {
            self.unknown.push(format!("{} cannot be looked into", from.name));
        }
        // The source is chosen with the route, before there is a packet.
        let source = match self.route(start, to, None, None) {
            Some(Routed::Here) => Some(to),
            Some(Routed::By { source, .. }) => source,
            None => None,
        };
        let tuple = Tuple { src: source, dst: Some(to), sport: None, dport: *port };
        let mut traveller = Traveller::asked(*protocol, tuple);
        let end = self.carry(start, None, &mut traveller);
        self.out = std::mem::take(&mut self.stages);
        self.direction = Direction::Back;
        // What only crosses bridges on its way out crosses them on its way back.
        let last = self.out.iter().rposition(|stage| stage.passage != Passage::Bridged);
        let bridged = self.out.iter().skip(last.map_or(0, |last| last + 1)).rev();
        let bridged: Vec<Stage> = bridged.filter(|_| end == End::Leaves).map(Stage::turned).collect();
        let turn = match (&end, last.and_then(|last| self.out.get(last))) {
            (End::Arrives(netns), _) => Some((*netns, None)),
            (End::Leaves, Some(last)) => last.output.as_ref().map(|device| {
                let below = last.below_output.iter().rev().map(|device| device.ifindex).collect();
                (last.netns, Some(Arrival { device: device.ifindex, below }))
            }),
            (End::Lost, _) | (End::Leaves, None) => None,
        };
        let mut back_end = End::Lost;
        if let Some((netns, arrival)) = turn {
            let mut answer = traveller.answer();
            self.stages = bridged;
            back_end = self.carry(netns, arrival, &mut answer);
            if back_end == End::Arrives(start) {
                self.is_what_was_asked(start, answer.tuple(), tuple);
            }
        }
        let Self { findings, checked, unknown, out, stages: back, .. } = self;
        Way { out, end, back, back_end, findings, checked, unknown }
    }

    /// Takes the packet from a namespace to where it ends.
    pub(super) fn carry(&mut self, start: NetnsInode, arrival: Option<Arrival>, traveller: &mut Traveller) -> End {
        let (mut netns, mut arrival) = (start, arrival);
        for _ in 0..LIMIT {
            match self.pass_namespace(netns, arrival.take(), traveller) {
                Next::On(next, how) => (netns, arrival) = (next, Some(how)),
                Next::Ends(end) => return end,
            }
        }
        self.goes_in_circles(netns, traveller.tuple().dst);
        End::Lost
    }

    fn pass_namespace(&mut self, netns: NetnsInode, arrival: Option<Arrival>, traveller: &mut Traveller) -> Next {
        let Some(view) = self.machine.view(netns) else {
            self.unknown.push(format!("{} cannot be looked into", self.machine.name(netns)));
            return Next::Ends(End::Lost);
        };
        match self.direction {
            Direction::Out => traveller.enter(),
            Direction::Back => traveller.comes_back(self.flows.answered(netns, traveller.tuple())),
        }
        let tuple_in = traveller.tuple();
        let input = arrival.as_ref().map(|arrival| view.device(arrival.device));
        if let Some(device) = &input {
            self.meet(netns, InetHook::Prerouting, Some(device), None, None, None, traveller);
        }
        let mut stage = Stage {
            netns,
            name: self.machine.name(netns),
            passage: Passage::Received,
            input: arrival.as_ref().and_then(|arrival| device(&view, arrival.device)),
            below_input: arrival.iter().flat_map(|how| &how.below).filter_map(|below| device(&view, *below)).collect(),
            output: None,
            below_output: Vec::new(),
            bridge: None,
            tuple_in,
            tuple_out: traveller.tuple(),
            next_hop: None,
            tunnel: Vec::new(),
        };
        let Some(dst) = traveller.tuple().dst else {
            self.unknown.push(format!("where {} sends the packet on to, its NAT rules alone do not tell", stage.name));
            self.stages.push(stage);
            return Next::Ends(End::Lost);
        };
        if let Some(arrival) = &arrival {
            self.source_is_trusted(netns, arrival.device, traveller.tuple().src, dst);
        }
        let source = traveller.tuple().src;
        let mut routed = self.route(netns, dst, source, arrival.as_ref().map(|arrival| arrival.device));
        let mut dst = dst;
        if arrival.is_none() {
            let output = match &routed {
                Some(Routed::Here) => view.links.iter().find(|link| link.loopback).map(|link| link.name.clone()),
                Some(Routed::By { device, .. }) => Some(view.device(*device)),
                None => None,
            };
            self.meet(netns, InetHook::Output, None, output.as_deref(), None, None, traveller);
            match traveller.tuple().dst {
                Some(new) if new != dst => {
                    dst = new;
                    routed = self.route(netns, dst, source, None);
                }
                Some(_) | None => {}
            }
        }
        let (gateway, output) = match routed {
            Some(Routed::Here) => {
                let end = self.arrives(netns, &view, arrival.is_some(), input.as_deref(), stage, traveller);
                return Next::Ends(end);
            }
            Some(Routed::By { gateway, device, .. }) => (gateway, device),
            None => {
                self.stages.push(stage);
                return Next::Ends(End::Lost);
            }
        };
        if let Some(arrival) = &arrival {
            let rewritten = tuple_in.dst != Some(dst) && gateway.is_none() && arrival.device == output;
            if rewritten && !arrival.below.is_empty() && self.shows_bridged(netns, output, Some(dst)) {
                return self.turns_round(stage, arrival, dst, traveller);
            }
            self.forwards(netns, arrival.device, dst);
        }
        let next_hop = gateway.unwrap_or(dst);
        let out = view.device(output);
        if input.is_some() {
            self.meet(netns, InetHook::Forward, input.as_deref(), Some(&out), Some(next_hop), None, traveller);
        }
        self.meet(netns, InetHook::Postrouting, None, Some(&out), Some(next_hop), None, traveller);
        self.keeps_flow(netns, traveller);
        stage.passage = if input.is_some() { Passage::Forwarded } else { Passage::Sent };
        stage.output = device(&view, output);
        stage.tuple_out = traveller.tuple();
        stage.next_hop = Some(next_hop);
        let translated = stage.tuple_in.dst != stage.tuple_out.dst;
        self.port = stage.tuple_out.dport;
        let reached = self.reach(netns, output, gateway, dst, translated);
        match reached {
            Reached::Station(station) => {
                stage.below_output = below(&view, &station.path);
                self.stages.push(stage);
                let arrival = self.cross_bridges(&station.path, traveller);
                Next::On(station.netns, arrival)
            }
            Reached::Outside(station) => {
                stage.below_output = below(&view, &station.path);
                self.stages.push(stage);
                let visits = station.path.chunk_by(|a, b| !(a.side == Side::Out && b.side == Side::In));
                for visit in visits.skip(1) {
                    self.cross_bridge(visit, traveller);
                }
                self.leaves(netns, output, traveller.tuple());
                Next::Ends(End::Leaves)
            }
            Reached::Nobody => {
                self.stages.push(stage);
                Next::Ends(End::Lost)
            }
        }
    }

    /// Remembers the flow as the namespace's conntrack would, for the answer.
    pub(super) fn keeps_flow(&mut self, netns: NetnsInode, traveller: &Traveller) {
        if self.direction == Direction::Out
            && let Some(flow) = traveller.flow()
        {
            self.flows.insert(netns, flow);
        }
    }

    /// The packet is for this namespace.
    fn arrives(
        &mut self,
        netns: NetnsInode,
        view: &View,
        came_in: bool,
        input: Option<&str>,
        mut stage: Stage,
        traveller: &mut Traveller,
    ) -> End {
        if came_in {
            self.meet(netns, InetHook::Input, input, None, None, None, traveller);
        } else if let Some(lo) = view.links.iter().find(|link| link.loopback) {
            if !self.mended.is_up(netns, lo) {
                self.mend(Mend::Up(netns, lo.ifindex));
            }
            self.meet(netns, InetHook::Postrouting, None, Some(&lo.name), None, None, traveller);
            stage.passage = Passage::Sent;
            stage.output = device(view, lo.ifindex);
            stage.tuple_out = traveller.tuple();
            self.stages.push(stage.clone());
            self.meet(netns, InetHook::Prerouting, Some(&lo.name), None, None, None, traveller);
            self.meet(netns, InetHook::Input, Some(&lo.name), None, None, None, traveller);
            stage = Stage { input: stage.output, output: None, tuple_in: stage.tuple_out, ..stage };
        }
        stage.passage = Passage::Received;
        stage.tuple_out = traveller.tuple();
        self.stages.push(stage);
        self.keeps_flow(netns, traveller);
        End::Arrives(netns)
    }

    #[expect(clippy::too_many_arguments, reason = "they are what a hook goes by")]
    pub(super) fn meet(
        &mut self,
        netns: NetnsInode,
        hook: InetHook,
        iif: Option<&str>,
        oif: Option<&str>,
        next_hop: Option<IpAddr>,
        bridged: Option<(&str, &str)>,
        traveller: &mut Traveller,
    ) {
        let (Some(view), Some(rules)) = (self.machine.view(netns), self.machine.rules(netns)) else {
            self.unknown.push(format!("the rules of {} cannot be read", self.machine.name(netns)));
            return;
        };
        let name = self.machine.name(netns);
        let place = Place { netns: &name, rules: &rules, links: &view.links, addresses: &view.addresses };
        let passed = pass(&place, &Hop { hook, iif, oif, next_hop, bridged }, traveller);
        if let Some(rewrite) = passed.rewrite {
            self.rewrites.push((netns, rewrite.rule));
        }
        for finding in passed.findings {
            self.found(finding);
        }
        for line in passed.undecided {
            let line = format!("{name}: {line}");
            if !self.unknown.contains(&line) {
                self.unknown.push(line);
            }
        }
    }

    /// Notes a fault, once.
    pub(super) fn found(&mut self, finding: Finding) {
        let known = |other: &Finding| other.cause == finding.cause && other.culprit == finding.culprit;
        if !self.findings.iter().any(known) {
            let detail = finding.evidence.first().unwrap_or(&finding.sentence).clone();
            self.step(finding.rung, Some(false), detail);
            self.findings.push(finding);
        }
    }

    /// Notes what was looked at.
    pub(super) fn step(&mut self, rung: Rung, ok: Option<bool>, detail: String) {
        let step = Step { step: rung, ok, detail };
        if !self.checked.contains(&step) {
            self.checked.push(step);
        }
    }
}

/// What becomes of the packet behind a namespace.
pub(super) enum Next {
    On(NetnsInode, Arrival),
    Ends(End),
}

/// The devices below the one that the packet leaves by.
fn below(view: &View, path: &[Crossing]) -> Vec<Device> {
    let out = path.iter().take_while(|crossing| crossing.side == Side::Out).skip(1);
    out.filter_map(|crossing| device(view, crossing.link)).collect()
}

pub(super) fn device(view: &View, ifindex: Ifindex) -> Option<Device> {
    view.link(ifindex).map(|link| Device { ifindex, name: link.name.clone(), mtu: link.mtu })
}
