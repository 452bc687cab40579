//! Per-CPU counters of each hook.

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use netobs_ebpf::{Counter, Counters, Hook};

#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(Hook::ALL.len() as u32, 0);

/// Adds one. A program cannot be interrupted by itself on one CPU, and each hook has one program, so this needs no
/// atomic operation.
#[inline(always)]
pub fn count(hook: Hook, counter: Counter) {
    if let Some(counters) = COUNTERS.get_ptr_mut(hook as u32) {
        // SAFETY: the pointer is to this CPU's value; `Counter` has as many variants as `Counters` has elements.
        unsafe { *counters.cast::<u64>().add(counter as usize) += 1 };
    }
}
