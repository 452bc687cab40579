//! The packet's way through the rule set, all ways at once.
//!
//! Where a rule cannot be decided, the packet may have gone either way. The walk follows both, but not as separate
//! walks, of which there would be too many: it keeps, for each place, only whether the packet surely comes there. A
//! chain is walked once per jump to it, so the work is bounded by the rules, not by the undecided ones among them.

use super::judge::{Change, Judged, Situation, Translation, Verdict, judge};
use super::packet::Packet;
use super::places::Places;
use super::rule::{Deed, Rule};
use super::table::{Chain, Entry, Table};
use super::truth::Truth;

/// The kernel follows 16 jumps (`NFT_JUMP_STACK_SIZE`); iptables-legacy is not limited so.
const DEPTH: u32 = 64;
/// Rules looked at. Jumps to the same chains again and again can make a small rule set cost any time.
const BUDGET: u32 = 2_000_000;

/// Whether the packet comes back to where a chain was entered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Through {
    Always,
    Sometimes,
    Never,
}

/// A place where the packet may have met its end, or its new address.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) rule: Rule,
    /// Given the rules, the packet cannot have missed it.
    pub(super) sure: bool,
    pub(super) translation: Option<Translation>,
}

/// The packet, which rules change on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Traveller {
    pub(super) packet: Packet,
    pub(super) ct_mark: Option<u32>,
    /// A rule before conntrack said not to track it.
    pub(super) untracked: Truth,
}

impl Traveller {
    fn apply(&mut self, change: Change, sure: bool) {
        match change {
            Change::Mark(value) => self.packet.mark = value.filter(|_| sure),
            Change::CtMark(value) => self.ct_mark = value.filter(|_| sure),
            Change::Untracked if sure => self.untracked = Truth::Yes,
            Change::Untracked if self.untracked == Truth::No => self.untracked = Truth::CannotTell,
            Change::Untracked => {}
            Change::Headers => {
                let tuple = &mut self.packet.tuple;
                (tuple.src, tuple.dst, tuple.sport, tuple.dport) = (None, None, None, None);
                (self.packet.tcp_flags, self.packet.icmp) = (None, None);
            }
        }
    }

    /// With everything unknown that rules can change.
    pub(super) fn blurred(mut self) -> Self {
        self.packet.mark = None;
        self.ct_mark = None;
        self
    }
}

/// A walk through one base chain and the chains it leads to.
pub(super) struct Walk<'a> {
    pub(super) places: &'a Places,
    pub(super) traveller: Traveller,
    /// The packet may have been accepted.
    pub(super) accepted: bool,
    pub(super) found: Vec<Found>,
    pub(super) undecided: Vec<String>,
    budget: u32,
}

impl<'a> Walk<'a> {
    pub(super) fn new(traveller: Traveller, places: &'a Places) -> Self {
        Self { places, traveller, accepted: false, found: Vec::new(), undecided: Vec::new(), budget: BUDGET }
    }

    /// Walks a chain. `sure`: the packet surely comes to its first rule.
    pub(super) fn chain(&mut self, table: &Table, name: &str, chain: &Chain, sure: bool, depth: u32) -> Through {
        let (mut leaks, mut returns, mut here) = (false, false, Through::Always);
        for entry in &chain.rules {
            if self.budget == 0 || depth > DEPTH {
                return self.give_up();
            }
            self.budget -= 1;
            let situation = Situation {
                packet: &self.traveller.packet,
                ct_mark: self.traveller.ct_mark,
                table,
                places: self.places,
            };
            let judged = judge(entry, &situation);
            if judged.matches == Truth::No {
                continue;
            }
            let surely_here = sure && here == Through::Always;
            let way = self.rule(table, name, entry, &judged, surely_here, depth);
            leaks |= way.leaks;
            returns |= way.returns;
            here = match (way.continues, way.leaks || way.returns) {
                (true, false) => here,
                (true, true) => Through::Sometimes,
                (false, _) => Through::Never,
            };
            if here == Through::Never {
                break;
            }
        }
        returns |= here != Through::Never;
        match (returns, leaks) {
            (false, _) => Through::Never,
            (true, true) => Through::Sometimes,
            (true, false) => Through::Always,
        }
    }

    /// Does what a rule that matches, or may match, can do.
    fn rule(&mut self, table: &Table, name: &str, entry: &Entry, judged: &Judged, sure: bool, depth: u32) -> Way {
        let certain = judged.matches == Truth::Yes && judged.verdicts.len() == 1;
        for change in &judged.changes {
            self.traveller.apply(*change, sure && judged.matches == Truth::Yes);
        }
        let mut way = Way { continues: judged.matches != Truth::Yes, ..Way::default() };
        let sure = sure && certain;
        for verdict in &judged.verdicts {
            match verdict {
                Verdict::Continue => way.continues = true,
                Verdict::Return => way.returns = true,
                Verdict::Accept => way.leaks = true,
                Verdict::End(deed) => {
                    way.leaks = true;
                    self.note(table.show(name, entry, *deed), sure && *deed != Deed::Queue, None);
                }
                Verdict::Translate(translation) => {
                    way.leaks = true;
                    self.note(table.show(name, entry, translation.deed), sure, Some(translation.clone()));
                }
                Verdict::Anything => {
                    (way.leaks, way.continues) = (true, true);
                    self.note(table.show(name, entry, Deed::Unknown), false, None);
                }
                Verdict::Jump(target) => match self.called(table, target, sure, depth) {
                    Through::Always => way.continues = true,
                    Through::Sometimes => (way.continues, way.leaks) = (true, true),
                    Through::Never => way.leaks = true,
                },
                Verdict::Goto(target) => match self.called(table, target, sure, depth) {
                    Through::Always => way.returns = true,
                    Through::Sometimes => (way.returns, way.leaks) = (true, true),
                    Through::Never => way.leaks = true,
                },
            }
            // A queue's program may let the packet go on, to the next base chain.
            self.accepted |= matches!(
                verdict,
                Verdict::Accept | Verdict::Translate(_) | Verdict::Anything | Verdict::End(Deed::Queue)
            );
        }
        // What cannot be decided is worth a word only where it decides anything.
        if way.leaks || way.returns || !judged.changes.is_empty() {
            self.undecided.extend(judged.undecided.iter().map(|what| {
                format!("{what} (in {} {} {name} rule {})", table.family.name(), table.name, entry.position)
            }));
        }
        way
    }

    fn called(&mut self, table: &Table, target: &str, sure: bool, depth: u32) -> Through {
        match table.chains.get(target) {
            Some(chain) => self.chain(table, target, chain, sure, depth + 1),
            None => self.give_up(),
        }
    }

    fn note(&mut self, rule: Rule, sure: bool, translation: Option<Translation>) {
        // A chain that is jumped to twice may hold the same rule for either way.
        match self.found.iter_mut().find(|found| found.rule == rule) {
            Some(again) => again.sure |= sure,
            None => self.found.push(Found { rule, sure, translation }),
        }
    }

    fn give_up(&mut self) -> Through {
        let line = "the rules jump too often to be followed";
        if self.undecided.last().is_none_or(|last| last != line) {
            self.undecided.push(line.to_owned());
        }
        self.accepted = true;
        Through::Sometimes
    }
}

/// The ways that lead on from a rule.
#[derive(Default)]
struct Way {
    /// To the next rule.
    continues: bool,
    /// To where the chain was entered from.
    returns: bool,
    /// Out of the base chain: an end or an acceptance.
    leaks: bool,
}
