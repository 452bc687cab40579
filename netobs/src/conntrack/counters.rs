//! The kernel's `struct ip_conntrack_stat`, one per CPU and namespace.

use std::collections::BTreeMap;

/// Something that connection tracking counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Searches that found an entry where none was to be: two packets began the same flow, or NAT asked whether a tuple
    /// is free.
    Found,
    /// Packets that belong to no flow and can begin none.
    Invalid,
    /// Entries made through ctnetlink.
    Insert,
    /// Entries that could not be entered: another had the same tuple by then.
    InsertFailed,
    /// Packets dropped: no room for their entry, or it could not be entered.
    Drop,
    /// Entries removed before their time, to make room.
    EarlyDrop,
    /// ICMP errors and other packets that could not be tracked.
    Error,
    /// Searches begun anew because the table changed under them.
    SearchRestart,
    /// Clashes of two packets of one flow that were settled without loss.
    ClashResolve,
    /// Entries refused because their place in the hash table was too crowded.
    ChainTooLong,
}

impl Counter {
    /// All, in the order in which `conntrack -S` shows them.
    pub const ALL: [Self; 10] = [
        Self::Found,
        Self::Invalid,
        Self::Insert,
        Self::InsertFailed,
        Self::Drop,
        Self::EarlyDrop,
        Self::Error,
        Self::SearchRestart,
        Self::ClashResolve,
        Self::ChainTooLong,
    ];

    /// `enum ctattr_stats_cpu` of <linux/netfilter/nfnetlink_conntrack.h>; new kernels only add to it.
    pub(super) fn attribute(self) -> u16 {
        match self {
            Self::Found => 2,
            Self::Invalid => 4,
            Self::Insert => 8,
            Self::InsertFailed => 9,
            Self::Drop => 10,
            Self::EarlyDrop => 11,
            Self::Error => 12,
            Self::SearchRestart => 13,
            Self::ClashResolve => 14,
            Self::ChainTooLong => 15,
        }
    }

    /// Its name in the output of `conntrack -S`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Invalid => "invalid",
            Self::Insert => "insert",
            Self::InsertFailed => "insert_failed",
            Self::Drop => "drop",
            Self::EarlyDrop => "early_drop",
            Self::Error => "error",
            Self::SearchRestart => "search_restart",
            Self::ClashResolve => "clash_resolve",
            Self::ChainTooLong => "chaintoolong",
        }
    }
}

/// One CPU's counters as the kernel has them: 32 bits that wrap. `None` for what this kernel does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuCounters([Option<u32>; Counter::ALL.len()]);

impl CpuCounters {
    /// Asks for each counter.
    pub fn read(value_of: impl Fn(Counter) -> Option<u32>) -> Self {
        Self(Counter::ALL.map(value_of))
    }
}

/// A namespace's counters, by CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics(pub BTreeMap<u16, CpuCounters>);

impl Statistics {
    /// The sums over all CPUs.
    pub fn totals(&self) -> Totals {
        self.0.values().fold(Totals::ZERO, |totals, cpu| totals.plus(&cpu.0.map(|value| value.map(u64::from))))
    }

    /// What was counted since `earlier`, even where a CPU's counter has begun again at zero. It must not have done so
    /// twice.
    pub fn since(&self, earlier: &Self) -> Totals {
        self.0.iter().fold(Totals::ZERO, |totals, (number, cpu)| {
            let before = earlier.0.get(number).copied().unwrap_or(CpuCounters([Some(0); Counter::ALL.len()]));
            let mut grown = [None; Counter::ALL.len()];
            for (grown, (now, before)) in grown.iter_mut().zip(cpu.0.iter().zip(&before.0)) {
                *grown = now.zip(*before).map(|(now, before)| u64::from(now.wrapping_sub(before)));
            }
            totals.plus(&grown)
        })
    }
}

/// Counters summed over all CPUs. `None` for what this kernel does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals([Option<u64>; Counter::ALL.len()]);

impl Totals {
    const ZERO: Self = Self([Some(0); Counter::ALL.len()]);

    /// One of them.
    pub fn get(&self, counter: Counter) -> Option<u64> {
        Counter::ALL.iter().position(|each| *each == counter).and_then(|at| *self.0.get(at)?)
    }

    /// Whether anything at all was counted.
    pub fn any(&self) -> bool {
        self.0.iter().flatten().any(|value| *value > 0)
    }

    /// These and what came to them.
    pub fn and(self, more: &Self) -> Self {
        self.plus(&more.0)
    }

    fn plus(mut self, more: &[Option<u64>; Counter::ALL.len()]) -> Self {
        for (sum, more) in self.0.iter_mut().zip(more) {
            *sum = sum.zip(*more).map(|(sum, more)| sum.saturating_add(more));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(drops: &[u32]) -> Statistics {
        let one = |drop: u32| CpuCounters::read(|counter| Some(if counter == Counter::Drop { drop } else { 0 }));
        Statistics(drops.iter().zip(0..).map(|(drop, number)| (number, one(*drop))).collect())
    }

    #[test]
    fn sums_are_wider_than_a_cpus_counter() {
        assert_eq!(cpus(&[u32::MAX, u32::MAX]).totals().get(Counter::Drop), Some(u64::from(u32::MAX) * 2));
        assert!(!cpus(&[0, 0]).totals().any() && cpus(&[0, 1]).totals().any());
    }

    #[test]
    fn a_counter_that_wraps_goes_on() {
        let (before, after) = (cpus(&[u32::MAX - 1, 7]), cpus(&[3, 9]));
        let grown = after.since(&before);
        assert_eq!(grown.get(Counter::Drop), Some(5 + 2));
        assert_eq!(before.totals().and(&grown).get(Counter::Drop), Some(u64::from(u32::MAX) - 1 + 7 + 7));
    }

    #[test]
    fn what_is_not_counted_is_not_zero() {
        let mut statistics = cpus(&[1]);
        statistics.0.insert(1, CpuCounters::read(|counter| (counter != Counter::ChainTooLong).then_some(2)));
        let totals = statistics.totals();
        assert_eq!((totals.get(Counter::Drop), totals.get(Counter::ChainTooLong)), (Some(3), None));
    }
}
