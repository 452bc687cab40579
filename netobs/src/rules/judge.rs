//! What one rule does to one packet.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::iptables;
use super::nft;
use super::packet::Packet;
use super::places::Places;
use super::rule::Deed;
use super::table::{Body, Entry, Table};
use super::truth::Truth;

/// What a rule is judged by besides itself.
pub(super) struct Situation<'a> {
    /// The packet as it is at this rule.
    pub(super) packet: &'a Packet,
    /// The mark of its conntrack entry at this rule.
    pub(super) ct_mark: Option<u32>,
    pub(super) table: &'a Table,
    pub(super) places: &'a Places,
}

/// How it goes on after a rule that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// With the next rule.
    Continue,
    /// The base chain is done with, the packet lives.
    Accept,
    /// The packet dies, or a program decides whether it does.
    End(Deed),
    /// With the rule after the jump that led here.
    Return,
    /// In this chain, and then with the next rule.
    Jump(String),
    /// In this chain, and then where a return would have led.
    Goto(String),
    /// The flow is translated.
    Translate(Translation),
    /// netobs does not know this target: anything may follow.
    Anything,
}

/// What a NAT rule rewrites to. `None` is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Translation {
    pub(super) deed: Deed,
    pub(super) addresses: Option<RangeInclusive<IpAddr>>,
    pub(super) ports: Option<RangeInclusive<u16>>,
    /// All that the rule says of addresses and ports is here: what it does not name stays as it was.
    pub(super) whole: bool,
}

impl Translation {
    pub(super) fn new(deed: Deed) -> Self {
        Self { deed, addresses: None, ports: None, whole: false }
    }

    /// Whether this is what came out.
    pub(super) fn agrees(&self, address: Option<IpAddr>, port: Option<u16>) -> bool {
        let right_address = address.is_none_or(|a| self.addresses.as_ref().is_none_or(|range| range.contains(&a)));
        let right_port = port.is_none_or(|p| self.ports.as_ref().is_none_or(|range| range.contains(&p)));
        right_address && right_port
    }
}

/// What a rule changes for the rules after it; `None` is a value that cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Mark(Option<u32>),
    CtMark(Option<u32>),
    /// The packet's headers, to what cannot be told.
    Headers,
    /// Whether conntrack, which comes later, will look at the packet.
    Untracked,
}

/// The whole of it.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) matches: Truth,
    /// If it matches, one of these. More than one where a verdict map's key is not known.
    pub(super) verdicts: Vec<Verdict>,
    pub(super) changes: Vec<Change>,
    /// What could not be decided.
    pub(super) undecided: Vec<String>,
}

impl Judged {
    pub(super) fn no() -> Self {
        Self { matches: Truth::No, verdicts: Vec::new(), changes: Vec::new(), undecided: Vec::new() }
    }
}

/// Judges a rule.
pub(super) fn judge(entry: &Entry, situation: &Situation<'_>) -> Judged {
    match &entry.body {
        Body::Iptables(specification) => iptables::judge(specification, situation),
        Body::Nft(statements) => nft::judge(statements, situation),
    }
}
