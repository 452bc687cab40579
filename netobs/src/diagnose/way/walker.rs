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
    flows: Flows,
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
        let turn = match (&end, self.out.last()) {
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
            back_end = self.carry(netns, arrival, &mut answer);
            if back_end == End::Arrives(start) {
                self.is_what_was_asked(start, answer.tuple(), tuple);
            }
        }
        let Self { findings, checked, unknown, out, stages: back, .. } = self;
        Way { out, end, back, back_end, findings, checked, unknown }
    }

    /// Takes the packet from a namespace to where it ends.
    fn carry(&mut self, start: NetnsInode, arrival: Option<Arrival>, traveller: &mut Traveller) -> End {
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
            self.forwards(netns, arrival.device, dst);
        }
        let next_hop = gateway.unwrap_or(dst);
        let out = view.device(output);
        if input.is_some() {
            self.meet(netns, InetHook::Forward, input.as_deref(), Some(&out), Some(next_hop), None, traveller);
        }
        self.meet(netns, InetHook::Postrouting, None, Some(&out), Some(next_hop), None, traveller);
        if self.direction == Direction::Out
            && let Some(flow) = traveller.flow()
        {
            self.flows.insert(netns, flow);
        }
        stage.passage = if input.is_some() { Passage::Forwarded } else { Passage::Sent };
        stage.output = device(&view, output);
        stage.tuple_out = traveller.tuple();
        stage.next_hop = Some(next_hop);
        let translated = stage.tuple_in.dst != stage.tuple_out.dst;
        let reached = self.reach(netns, output, gateway, dst, translated);
        match reached {
            Reached::Station(station) => {
                let first = station.path.iter().take_while(|crossing| crossing.side == Side::Out).skip(1);
                stage.below_output = first.filter_map(|crossing| device(&view, crossing.link)).collect();
                self.stages.push(stage);
                let arrival = self.cross_bridges(&station.path, traveller);
                Next::On(station.netns, arrival)
            }
            Reached::Outside(station) => {
                let below = station.path.iter().skip(1).take_while(|crossing| crossing.netns == netns);
                stage.below_output = below.filter_map(|crossing| device(&view, crossing.link)).collect();
                self.stages.push(stage);
                self.leaves(netns, output, traveller.tuple());
                Next::Ends(End::Leaves)
            }
            Reached::Nobody => {
                self.stages.push(stage);
                Next::Ends(End::Lost)
            }
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
        if self.direction == Direction::Out
            && let Some(flow) = traveller.flow()
        {
            self.flows.insert(netns, flow);
        }
        End::Arrives(netns)
    }

    /// The namespaces between two stations, in which the packet only crosses a bridge. Returns how it comes to the last.
    fn cross_bridges(&mut self, path: &[Crossing], traveller: &mut Traveller) -> Arrival {
        let mut visits: Vec<&[Crossing]> =
            path.chunk_by(|a, b| !(a.side == Side::Out && b.side == Side::In)).skip(1).collect();
        let last = visits.pop().unwrap_or_default();
        for visit in visits {
            self.cross_bridge(visit, traveller);
        }
        let mut below: Vec<_> = last.iter().map(|crossing| crossing.link).collect();
        let device = below.pop().unwrap_or_default();
        Arrival { device, below }
    }

    fn cross_bridge(&mut self, visit: &[Crossing], traveller: &mut Traveller) {
        let Some(netns) = visit.first().map(|crossing| crossing.netns) else { return };
        let Some(view) = self.machine.view(netns) else { return };
        let (inwards, outwards): (Vec<&Crossing>, Vec<&Crossing>) =
            visit.iter().partition(|crossing| crossing.side == Side::In);
        let bridge = outwards.first().and_then(|crossing| crossing.bridge);
        let mut below_input: Vec<_> = inwards.iter().filter_map(|crossing| device(&view, crossing.link)).collect();
        let mut below_output: Vec<_> = outwards.iter().filter_map(|crossing| device(&view, crossing.link)).collect();
        let input = below_input.pop();
        let output = if below_output.is_empty() { None } else { Some(below_output.remove(0)) };
        let tuple_in = traveller.tuple();
        match self.direction {
            Direction::Out => traveller.enter(),
            Direction::Back => traveller.comes_back(self.flows.answered(netns, traveller.tuple())),
        }
        if let (Some(bridge), Some(input), Some(output)) = (bridge, &input, &output)
            && self.shows_bridged(netns, bridge, tuple_in.dst)
        {
            let name = view.device(bridge);
            let ports = Some((input.name.as_str(), output.name.as_str()));
            self.meet(netns, InetHook::Prerouting, Some(&name), None, None, ports, traveller);
            self.meet(netns, InetHook::Forward, Some(&name), Some(&name), None, ports, traveller);
            self.meet(netns, InetHook::Postrouting, None, Some(&name), None, ports, traveller);
            if self.direction == Direction::Out
                && let Some(flow) = traveller.flow()
            {
                self.flows.insert(netns, flow);
            }
        }
        let name = self.machine.name(netns);
        let bridge = bridge.and_then(|bridge| device(&view, bridge));
        self.stages.push(Stage {
            netns,
            name,
            passage: Passage::Bridged,
            input,
            below_input,
            output,
            below_output,
            bridge,
            tuple_in,
            tuple_out: traveller.tuple(),
            next_hop: None,
        });
    }

    /// Whether the namespace shows its IP firewall what only crosses this bridge (`br_nf_pre_routing`).
    fn shows_bridged(&mut self, netns: NetnsInode, bridge: Ifindex, to: Option<IpAddr>) -> bool {
        let ipv6 = to.is_some_and(|to| to.is_ipv6());
        let key = if ipv6 { "bridge/bridge-nf-call-ip6tables" } else { "bridge/bridge-nf-call-iptables" };
        let own =
            self.machine.view(netns).and_then(|view| view.link(bridge).and_then(|bridge| bridge.nf_call_iptables));
        self.machine.number(netns, key).is_some_and(|on| on != 0) || (own == Some(true) && !ipv6)
    }

    #[expect(clippy::too_many_arguments, reason = "they are what a hook goes by")]
    fn meet(
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
enum Next {
    On(NetnsInode, Arrival),
    Ends(End),
}

fn device(view: &View, ifindex: Ifindex) -> Option<Device> {
    view.link(ifindex).map(|link| Device { ifindex, name: link.name.clone(), mtu: link.mtu })
}
