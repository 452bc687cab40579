//! Per-CPU counters of each hook.

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use netobs_ebpf::{Counter, Counters, SLOTS};

use crate::atomic;

#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(SLOTS as u32, 0);

/// Adds one. Atomically: the kernel keeps a tracing program from interrupting itself on one CPU, but not a netfilter
/// program (a packet that a process sends may be interrupted by one that the kernel answers with).
#[inline(always)]
pub fn count(slot: u32, counter: Counter) {
    if let Some(counters) = COUNTERS.get_ptr_mut(slot) {
        // SAFETY: the pointer is to this CPU's value; `Counter` has as many variants as `Counters` has elements.
        unsafe { atomic::add(counters.cast::<u64>().add(counter as usize), 1) };
    }
}
