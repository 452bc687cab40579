//! Reading what the programs counted.

use aya::maps::{MapData, PerCpuArray};
use netobs_ebpf::{Counter, Counters, slot};

use super::HookRow;

/// Events due and lost since the programs were loaded, over all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Events that were due. Emitted = decoded + lost in the ring.
    pub emitted: u64,
    /// Events for which the ring buffer had no room.
    pub ring: u64,
    /// Packets that matched and were not followed, since the identity map took no entry or the ring was filling up.
    pub tracking: u64,
    /// Times a program did not run, since an interrupt found it running already on that CPU
    /// (`bpf_prog_info.recursion_misses`, 5.12).
    pub missed: u64,
}

/// One hook's counters, summed over the CPUs.
pub(super) fn of_row(map: &PerCpuArray<MapData, Counters>, row: &HookRow) -> Losses {
    let Ok(per_cpu) = map.get(&slot(row.hook, row.site), 0) else { return Losses::default() };
    let total =
        |counter: Counter| -> u64 { per_cpu.iter().filter_map(|counters| counters.get(counter as usize)).sum() };
    Losses {
        emitted: total(Counter::Emitted),
        ring: total(Counter::LostRing),
        tracking: total(Counter::LostTracking) + total(Counter::Skipped),
        missed: 0,
    }
}

impl std::ops::AddAssign for Losses {
    fn add_assign(&mut self, other: Self) {
        self.emitted += other.emitted;
        self.ring += other.ring;
        self.tracking += other.tracking;
        self.missed += other.missed;
    }
}
