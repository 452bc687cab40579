//! Drops, by namespace, reason and cause.

use std::collections::HashMap;
use std::sync::Arc;

use super::census::Census;
use super::rows::Named;
use super::strangers::Strangers;
use crate::explain::cause::{self, CONNTRACK_FULL, MTU, POLICY, cause};
use crate::metrics::{Metric, Source, Store};
use crate::netns::NetnsCookie;
use crate::probe::Kernel;
use crate::probe::drops::{DropCount, DropRow};
use crate::symbols::Symbols;

/// The reason netfilter gives for whatever it drops.
const NETFILTER: &str = "NETFILTER_DROP";
/// Where netfilter frees what a hook dropped, be it a rule's or connection tracking's. Elsewhere it was a rule.
const HOOKS: [&str; 2] = ["nf_hook_slow", "nf_hook_slow_list"];
/// The source of a share that was worked out, and is in none of the kernel's rows.
const WORKED_OUT: u64 = 1;

/// Rows of the kernel's table, in words.
#[derive(Debug)]
pub struct Drops {
    symbols: Symbols,
    words: HashMap<(u32, Option<u64>), Words>,
    shares: HashMap<NetnsCookie, Shares>,
    causes: HashMap<&'static str, Arc<str>>,
    strangers: Strangers,
}

/// The reason's name, and the cause: empty where netfilter dropped it, and that may have been connection tracking.
type Words = (Arc<str>, &'static str);

/// What netfilter dropped in a namespace. A rule's drops and those of connection tracking have the same reason in the
/// same function; how many are connection tracking's is in its own statistics. Neither share ever shrinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shares {
    /// By rows of the table, since some of them may be missing in a reading.
    netfilter: u64,
    /// What connection tracking had dropped before anybody counted.
    before: u64,
    conntrack: u64,
    policy: u64,
}

impl Shares {
    fn divide(&mut self, netfilter: u64, conntrack: u64) {
        self.netfilter = self.netfilter.max(netfilter);
        let conntrack = conntrack.saturating_sub(self.before).min(self.netfilter.saturating_sub(self.policy));
        self.conntrack = self.conntrack.max(conntrack);
        self.policy = self.policy.max(self.netfilter.saturating_sub(self.conntrack));
    }
}

impl Drops {
    /// Reads the kernel's table of functions now, not at the first drop.
    pub fn new() -> Self {
        let mut symbols = Symbols::new();
        symbols.unavailable();
        Self {
            symbols,
            words: HashMap::new(),
            shares: HashMap::new(),
            causes: HashMap::new(),
            strangers: Strangers::default(),
        }
    }

    /// A namespace was there before drops were counted, and its connection tracking had dropped so much.
    pub fn was_there(&mut self, cookie: NetnsCookie, conntrack: u64) {
        self.shares.insert(cookie, Shares { before: conntrack, ..Shares::default() });
    }

    /// Takes in a reading of the table, and what connection tracking had dropped in each namespace a moment later: in this
    /// order a drop of its own is never taken for a rule's.
    pub fn take(
        &mut self,
        store: &mut Store,
        counts: &[DropCount],
        conntrack: &HashMap<NetnsCookie, u64>,
        kernel: &Kernel,
        census: &Census,
    ) {
        let stage: Arc<str> = "drops".into();
        // There before the first drop, and still when rows go.
        store.counter(Metric::Events, &[&stage], Source(0, 0), 0);
        let mut undivided: HashMap<NetnsCookie, u64> = HashMap::new();
        self.strangers.begin();
        for DropCount { row, packets } in counts {
            let (reason, word, is_hook) = self.words(row.reason.0, row.location, kernel.reason(row.reason));
            let cookie = row.cookie.unwrap_or(NetnsCookie(0));
            // One source for each row: the first word is never given out again, and the second tells rows apart.
            let source = Source(cookie.0, row.location.unwrap_or(0) ^ u64::from(row.reason.0) << 48);
            store.counter(Metric::Events, &[&stage], source, *packets);
            let Some(netns) = self.strangers.name(row.cookie, census) else { continue };
            if word == MTU {
                store.counter(Metric::MtuDrops, &[&netns], source, *packets);
            }
            if is_hook && row.cookie.is_some() {
                *undivided.entry(cookie).or_default() += packets;
            } else {
                store.counter(Metric::PacketDrops, &[&netns, &reason, &self.word(word)], source, *packets);
            }
        }
        let netfilter: Arc<str> = NETFILTER.into();
        for (cookie, packets) in undivided {
            let Some(netns) = self.strangers.name(Some(cookie), census) else { continue };
            let shares = self.shares.entry(cookie).or_default();
            shares.divide(packets, conntrack.get(&cookie).copied().unwrap_or(shares.before));
            for (word, share) in [(POLICY, shares.policy), (CONNTRACK_FULL, shares.conntrack)] {
                if share > 0 {
                    let labels = [&netns, &netfilter, &Arc::from(word)];
                    store.counter(Metric::PacketDrops, &labels, Source(cookie.0, WORKED_OUT), share);
                }
            }
        }
    }

    /// A row in names. Of netfilter's drops the cause is known where the last collection found one kind of them only.
    pub fn name(&mut self, row: &DropRow, kernel: &Kernel, census: &Census) -> Named {
        let reason = kernel.reason(row.reason);
        let (_, word, is_hook) = self.words(row.reason.0, row.location, reason);
        let cause = match row.cookie.and_then(|cookie| self.shares.get(&cookie)) {
            _ if !is_hook => Some(word),
            Some(Shares { policy: 1.., conntrack: 0, .. }) => Some(POLICY),
            Some(Shares { policy: 0, conntrack: 1.., .. }) => Some(CONNTRACK_FULL),
            _ => None,
        };
        Named {
            reason: reason.map(str::to_owned),
            reason_number: row.reason.0,
            function: row.location.and_then(|address| self.symbols.name(address)).map(str::to_owned),
            netns: row.cookie.and_then(|cookie| census.name(cookie)).map(ToString::to_string),
            netns_inode: row.netns.map(|netns| netns.0),
            cause,
        }
    }

    /// Forgets namespaces that are gone.
    pub fn keep(&mut self, is_there: impl Fn(NetnsCookie) -> bool) {
        self.shares.retain(|cookie, _| is_there(*cookie));
    }

    /// The reason's name, the cause, and whether netfilter dropped it where that may have been connection tracking.
    fn words(&mut self, number: u32, location: Option<u64>, reason: Option<&str>) -> (Arc<str>, &'static str, bool) {
        let symbols = &mut self.symbols;
        let (name, word) = self.words.entry((number, location)).or_insert_with(|| {
            let function = location.and_then(|address| symbols.name(address));
            let is_hook = reason == Some(NETFILTER) && function.is_none_or(|function| HOOKS.contains(&function));
            let word = if is_hook { "" } else { cause(reason, function) };
            (reason.unwrap_or(cause::OTHER).into(), word)
        });
        (Arc::clone(name), word, word.is_empty())
    }

    fn word(&mut self, word: &'static str) -> Arc<str> {
        Arc::clone(self.causes.entry(word).or_insert_with(|| word.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_never_shrink() {
        let mut shares = Shares { before: 100, ..Shares::default() };
        for (netfilter, conntrack, expected) in [
            (10, 100, (10, 0)),
            (30, 115, (15, 15)),
            // More than is in the table yet.
            (40, 150, (15, 25)),
            (60, 150, (15, 45)),
            (60, 150, (15, 45)),
            // A row was missing.
            (20, 150, (15, 45)),
        ] {
            shares.divide(netfilter, conntrack);
            assert_eq!((shares.policy, shares.conntrack), expected, "{netfilter} {conntrack}");
            assert_eq!(shares.policy + shares.conntrack, shares.netfilter);
        }
    }
}
