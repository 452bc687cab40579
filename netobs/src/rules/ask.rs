//! The two questions: which rule dropped a packet, which rule rewrote it.

use std::net::IpAddr;

use super::Rules;
use super::course::{Course, follow};
use super::packet::{InetHook, Packet, Tracking};
use super::rule::{Backend, Deed, Finding, Rule};
use super::walk::Found;
use crate::event::{Conntrack, Direction, State, Tuple};

/// Answers longer than this help nobody.
const SHOWN: usize = 16;

/// What the drop itself tells of who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropper {
    /// The packet was freed inside `nft_do_chain`: a rule or a policy of nft or iptables-nft said so, and nothing else.
    /// Newer kernels free it there, older ones in `nf_hook_slow`.
    NftRule,
    /// Not known: any rule, a policy, or another user of the hook (`nf_hook_slow`).
    Unknown,
}

/// Which end of a flow was rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The source, at `POSTROUTING` or `INPUT`.
    Source,
    /// The destination, at `PREROUTING` or `OUTPUT`.
    Destination,
}

impl Rules {
    /// Which rule or policy dropped `packet` at `hook`.
    ///
    /// With [`Dropper::NftRule`] one rule that can have done it is a fact, whatever else is undecided; else the rule
    /// must surely have been reached, with nothing before it that may have dropped the packet.
    pub fn dropped(&self, packet: &Packet, hook: InetHook, dropper: Dropper) -> Finding {
        let Course { mut found, undecided, .. } = follow(&self.tables, &self.places, packet, hook, false);
        found.retain(|found| found.translation.is_none());
        if dropper == Dropper::NftRule {
            found.retain(|found| found.rule.backend != Backend::IptablesLegacy);
            found.retain(|found| found.rule.deed != Deed::Queue);
        }
        let only = dropper == Dropper::NftRule && found.len() == 1;
        let fact = found.first().filter(|first| first.sure || (only && first.rule.deed != Deed::Unknown));
        self.finding(fact.map(|found| found.rule.clone()), found, undecided)
    }

    /// Which rule made NAT rewrite that end of `packet`'s flow. [`Rule::deed`] tells the kind.
    ///
    /// NAT asks its rules once, for the packet that begins the flow (`nf_nat_inet_fn`). If the packet's conntrack entry
    /// is known, that packet is put together from it, so any packet of the flow will do; without it, `packet` must be
    /// the flow's first as it was before the rewrite. The rules are those of now; the flow may be older.
    pub fn translated(&self, packet: &Packet, hook: InetHook, side: Side) -> Finding {
        let (address, port) = rewritten_to(packet, side);
        let Course { found, mut undecided, .. } =
            follow(&self.tables, &self.places, &opening(packet, hook), hook, true);
        let of_this_side = |deed| match side {
            Side::Source => matches!(deed, Deed::Snat | Deed::Masquerade | Deed::Unknown),
            Side::Destination => matches!(deed, Deed::Dnat | Deed::Redirect | Deed::Unknown),
        };
        let mut right = Vec::new();
        for found in found.into_iter().filter(|found| of_this_side(found.rule.deed)) {
            if found.translation.as_ref().is_none_or(|translation| translation.agrees(address, port)) {
                right.push(found);
            } else if found.sure {
                undecided
                    .push(format!("the rules were changed since the flow began: now it would meet `{}`", found.rule));
            }
        }
        // Nothing else rewrites an address, so the only one that can have done it did.
        let only = right.len() == 1;
        let fact = right.first().filter(|first| first.rule.deed != Deed::Unknown && (first.sure || only));
        self.finding(fact.map(|found| found.rule.clone()), right, undecided)
    }

    fn finding(&self, fact: Option<Rule>, found: Vec<Found>, undecided: Vec<String>) -> Finding {
        if self.problems.is_empty()
            && let Some(rule) = fact
        {
            return Finding { rule: Some(rule), ..Finding::default() };
        }
        let candidates = found.into_iter().map(|found| found.rule).collect();
        let mut lines = self.problems.clone();
        for line in undecided {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let more = lines.len().saturating_sub(SHOWN);
        lines.truncate(SHOWN);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        Finding { rule: None, candidates, undecided: lines }
    }
}

/// The address and port that came out of NAT, as the answer's tuple has them.
fn rewritten_to(packet: &Packet, side: Side) -> (Option<IpAddr>, Option<u16>) {
    match (packet.entry().and_then(|entry| entry.reply), side) {
        (Some(reply), Side::Source) => (reply.dst, reply.dport),
        (Some(reply), Side::Destination) => (reply.src, reply.sport),
        (None, _) => (None, None),
    }
}

/// The packet that began the flow, as the nat chains of `hook` saw it.
fn opening(packet: &Packet, hook: InetHook) -> Packet {
    let mut first = packet.clone();
    first.entered = None;
    let mut entry = Conntrack {
        state: Some(State::New),
        direction: Some(Direction::Original),
        orig: None,
        reply: None,
        zone: 0,
        mark: 0,
    };
    if let Tracking::Entry(known) = packet.tracking {
        (entry.orig, entry.reply) = (known.orig, known.reply);
        (entry.zone, entry.mark) = (known.zone, known.mark);
        if known.state != Some(State::New) || known.direction != Some(Direction::Original) {
            (first.length, first.mark, first.tcp_flags) = (None, None, None);
        }
        if known.direction != Some(Direction::Original) {
            // The answer need not come back the way the question went.
            (first.iif, first.oif) = (None, None);
        }
        if let (Some(orig), Some(reply)) = (known.orig, known.reply) {
            first.tuple = match hook {
                InetHook::Prerouting | InetHook::Output | InetHook::Forward => orig,
                // The destination has been rewritten by then, the source not yet.
                InetHook::Input | InetHook::Postrouting => {
                    Tuple { src: orig.src, sport: orig.sport, dst: reply.src, dport: reply.sport }
                }
            };
        }
    }
    first.tracking = Tracking::Entry(entry);
    first
}
