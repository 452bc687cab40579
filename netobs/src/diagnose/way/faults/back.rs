//! Answers that are never sent, or that nobody recognises.

use std::net::IpAddr;

use super::route::network;
use crate::diagnose::typed::word;
use crate::diagnose::way::mended::ThoughtRoute;
use crate::diagnose::way::stage::{Passage, Stage};
use crate::diagnose::way::walker::{Direction, Walker};
use crate::diagnose::{Finding, Force, Rung};
use crate::event::Tuple;
use crate::netlink::Ifindex;
use crate::netns::NetnsInode;

impl Walker<'_> {
    /// The one that was asked has no route to the asker, whose private address left by an uplink as it was.
    pub(super) fn not_masqueraded(&mut self, netns: NetnsInode, to: IpAddr, came_in: bool) -> bool {
        if self.direction != Direction::Back || came_in || !is_private(to) {
            return false;
        }
        let routers = self.out.iter().rev().filter(|stage| stage.passage == Passage::Forwarded);
        let routers: Vec<Stage> = routers.cloned().collect();
        let Some(router) = routers.into_iter().find(|stage| self.is_uplink(stage)) else { return false };
        let (Some(uplink), Some(source)) = (&router.output, router.tuple_out.src) else { return false };
        if router.tuple_in.src != Some(source) || source != to {
            return false;
        }
        let (who, there) = (router.name.clone(), self.name(netns));
        let fact = format!("{there} has no route to {to}, so its answer is never sent");
        self.wants_masquerade(&router, uplink.ifindex, source, fact, Force::Stops, &who);
        // Back the way it came.
        let near = self.machine.view(router.netns);
        let via = near.and_then(|view| {
            view.addresses_of(uplink.ifindex).find(|own| own.address.is_ipv4() == to.is_ipv4()).cloned()
        });
        let device = via.as_ref().and_then(|via| self.leads_to(netns, via.address));
        if let (Some(via), Some(device)) = (via, device) {
            let length = if to.is_ipv6() { 128 } else { 32 };
            self.mended.add_route(ThoughtRoute { netns, net: to, length, gateway: Some(via.address), device });
        }
        true
    }

    /// Whether a stage sends the packet towards the rest of the world.
    fn is_uplink(&mut self, stage: &Stage) -> bool {
        let Some(output) = &stage.output else { return false };
        let any: IpAddr = match stage.tuple_out.dst {
            Some(IpAddr::V6(_)) => IpAddr::from([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            Some(IpAddr::V4(_)) | None => IpAddr::from([192, 0, 2, 0]),
        };
        let by_gateway = stage.next_hop.is_some() && stage.next_hop != stage.tuple_out.dst;
        by_gateway
            || (self.has_default(stage.netns, any.is_ipv6()) && self.leads_to(stage.netns, any) == Some(output.ifindex))
    }

    fn wants_masquerade(
        &mut self,
        router: &Stage,
        uplink: Ifindex,
        source: IpAddr,
        fact: String,
        force: Force,
        who: &str,
    ) {
        let out = self.device(router.netns, uplink);
        let start = self.question.from.netns;
        let length = self
            .machine
            .view(start)
            .and_then(|view| view.addresses.iter().find(|own| own.address == source).map(|own| own.prefix_length));
        let net = match length {
            Some(length) => network(source, length),
            None => source.to_string(),
        };
        let family = if source.is_ipv6() { "ip6" } else { "ip" };
        let nft = |line: &str| format!("nft {line}");
        let fix = [
            nft(&format!("add table {family} nat")),
            nft(&format!("add chain {family} nat postrouting '{{ type nat hook postrouting priority 100 ; }}'")),
            nft(&format!("add rule {family} nat postrouting {family} saddr {net} oifname {} masquerade", word(&out))),
        ];
        let fix = fix.iter().map(|command| self.machine.command(router.netns, command)).collect();
        let finding = Finding {
            cause: "no-masquerade",
            rung: Rung::Nat,
            force,
            sentence: format!(
                "{who} sends the packet out by {out} with its private source, {source}, as it is: no rule rewrites it \
                 (masquerade), and {fact}."
            ),
            culprit: self.culprit(router.netns, format!("no rule rewrites {net} on its way out by {out}")),
            evidence: vec![
                format!("the source is {source} as it enters {who}, and {source} as it leaves by {out}"),
                fact,
            ],
            fix,
            hints: vec![
                "nothing is dropped on the way out: what shows it is a private source on the uplink".to_owned(),
                format!("with iptables: iptables -t nat -A POSTROUTING -s {net} -o {} -j MASQUERADE", word(&out)),
            ],
        };
        self.found(finding);
    }

    /// The packet leaves this machine.
    pub(in crate::diagnose::way) fn leaves(&mut self, netns: NetnsInode, output: Ifindex, tuple: Tuple) {
        if self.direction == Direction::Back {
            return;
        }
        let Some(stage) = self.stages.last().cloned() else { return };
        let (Some(source), Some(dst)) = (tuple.src, tuple.dst) else { return };
        let forwarded = stage.passage == Passage::Forwarded && stage.tuple_in.src == Some(source);
        let strange =
            self.machine.view(netns).is_some_and(|view| !view.addresses_of(output).any(|own| own.covers(source)));
        if forwarded && strange && is_private(source) && !is_private(dst) && self.is_uplink(&stage) {
            let who = stage.name.clone();
            let fact = "nobody out there has a way back to a private address".to_owned();
            self.wants_masquerade(&stage, output, source, fact, Force::MayStop, &who);
        }
    }

    /// The answer comes home: with the addresses that were asked?
    pub(in crate::diagnose::way) fn is_what_was_asked(&mut self, start: NetnsInode, answer: Tuple, asked: Tuple) {
        let (Some(src), Some(dst)) = (answer.src, asked.dst) else { return };
        let port = answer.sport.zip(asked.dport).is_none_or(|(answers, asked)| answers == asked);
        if src == dst && port {
            return;
        }
        let name = self.name(start);
        let finding = Finding {
            cause: "answer-not-translated",
            rung: Rung::Nat,
            force: Force::Stops,
            sentence: format!(
                "The answer reaches {name} from {src}, but {name} asked {dst}: it does not pass the namespace that \
                 rewrote the question, so nobody rewrites it back, and {name} does not know it."
            ),
            culprit: self.culprit(start, format!("answers of {src} come straight to {name}")),
            evidence: vec![format!("asked: {dst}"), format!("answered by: {src}, without passing the NAT again")],
            fix: Vec::new(),
            hints: vec![
                "the cure is to rewrite the question's source as well (masquerade), so that the answer comes back by \
                 the same way; or to ask the container by its own address"
                    .to_owned(),
            ],
        };
        self.found(finding);
    }
}

/// RFC 1918, RFC 6598, RFC 4193.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}
