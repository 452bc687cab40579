//! Namespaces in which a packet only crosses a bridge.

use std::net::IpAddr;

use super::reach::Reached;
use super::segment::{Crossing, Side};
use super::stage::{End, Passage, Stage};
use super::walker::{Arrival, Direction, Next, Walker, device};
use crate::diagnose::gate::Traveller;
use crate::netlink::Ifindex;
use crate::netns::NetnsInode;
use crate::rules::InetHook;

impl Walker<'_> {
    /// A destination that was rewritten while the packet was in a bridge, to somebody on that bridge: it is bridged on,
    /// not routed (`br_nf_pre_routing_finish`).
    pub(super) fn turns_round(
        &mut self,
        mut stage: Stage,
        arrival: &Arrival,
        dst: IpAddr,
        traveller: &mut Traveller,
    ) -> Next {
        let (netns, bridge) = (stage.netns, arrival.device);
        self.port = traveller.tuple().dport;
        let Reached::Station(station) = self.reach(netns, bridge, None, dst, true) else {
            self.stages.push(stage);
            return Next::Ends(End::Lost);
        };
        let Some(view) = self.machine.view(netns) else { return Next::Ends(End::Lost) };
        let port = arrival.below.last().copied();
        let mut outwards = station.path.iter().take_while(|crossing| crossing.side == Side::Out).skip(1);
        let to = outwards.next().map(|crossing| crossing.link);
        if let (Some(port), true) = (port, port == to) {
            self.may_turn_round(netns, port, bridge, dst);
        }
        stage.bridge = stage.input.take();
        stage.input = stage.below_input.pop();
        stage.output = to.and_then(|to| device(&view, to));
        stage.below_output = outwards.filter_map(|crossing| device(&view, crossing.link)).collect();
        stage.passage = Passage::Bridged;
        if let (Some(bridge), Some(input), Some(output)) = (&stage.bridge, &stage.input, &stage.output) {
            let ports = Some((input.name.as_str(), output.name.as_str()));
            self.meet(netns, InetHook::Forward, Some(&bridge.name), Some(&bridge.name), None, ports, traveller);
            self.meet(netns, InetHook::Postrouting, None, Some(&bridge.name), Some(dst), ports, traveller);
        }
        self.keeps_flow(netns, traveller);
        stage.tuple_out = traveller.tuple();
        stage.next_hop = Some(dst);
        self.stages.push(stage);
        let arrival = self.cross_bridges(&station.path, traveller);
        Next::On(station.netns, arrival)
    }

    /// The namespaces between two stations, in which the packet only crosses a bridge. Returns how it comes to the last.
    pub(super) fn cross_bridges(&mut self, path: &[Crossing], traveller: &mut Traveller) -> Arrival {
        let mut visits = path.chunk_by(|a, b| !(a.side == Side::Out && b.side == Side::In));
        self.enters_tunnel(visits.next().unwrap_or_default());
        let mut visits: Vec<&[Crossing]> = visits.collect();
        let last = visits.pop().unwrap_or_default();
        for visit in visits {
            self.cross_bridge(visit, traveller);
        }
        let mut below: Vec<_> = last.iter().map(|crossing| crossing.link).collect();
        let device = below.pop().unwrap_or_default();
        Arrival { device, below }
    }

    pub(super) fn cross_bridge(&mut self, visit: &[Crossing], traveller: &mut Traveller) {
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
            self.keeps_flow(netns, traveller);
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
            tunnel: Vec::new(),
        });
        self.enters_tunnel(visit);
    }

    /// If the packet left its last stage by a tunnel, that is gone through, too.
    fn enters_tunnel(&mut self, visit: &[Crossing]) {
        let Some(last) = visit.last().filter(|last| last.side == Side::Out).copied() else { return };
        let tunnel = self.through_tunnel(last.netns, last.link);
        if let Some(stage) = self.stages.last_mut() {
            stage.tunnel = tunnel;
        }
    }

    /// Whether the namespace shows its IP firewall what only crosses this bridge (`br_nf_pre_routing`).
    pub(super) fn shows_bridged(&mut self, netns: NetnsInode, bridge: Ifindex, to: Option<IpAddr>) -> bool {
        let ipv6 = to.is_some_and(|to| to.is_ipv6());
        let key = if ipv6 { "bridge/bridge-nf-call-ip6tables" } else { "bridge/bridge-nf-call-iptables" };
        let own =
            self.machine.view(netns).and_then(|view| view.link(bridge).and_then(|bridge| bridge.nf_call_iptables));
        self.machine.number(netns, key).is_some_and(|on| on != 0) || (own == Some(true) && !ipv6)
    }
}
