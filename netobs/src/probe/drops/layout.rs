//! What the drop counters need to know of the kernel.

use std::fs;

use netobs_ebpf::MISSING;

use crate::btf::Btf;

/// Sizes that a task's stack has on 64-bit machines.
const STACKS: std::ops::RangeInclusive<u64> = 16 << 10..=64 << 10;

/// Fields that only the drop counters read, and facts about this kernel.
#[derive(Clone, Copy, Debug)]
pub struct DropLayout {
    /// Offset of `net.net_cookie`, or [`MISSING`].
    pub(in crate::probe) net_cookie: u32,
    /// Whether the tracepoint names the receiving socket (6.11 and later).
    pub(super) has_receiver: bool,
    /// Offset of `task_struct.stack`, or [`MISSING`].
    pub(super) task_stack: u32,
}

impl DropLayout {
    pub(in crate::probe) fn read(btf: &Btf) -> Self {
        let offset = |path| btf.field(path).map_or(MISSING, |field| field.offset);
        Self {
            net_cookie: offset("net.net_cookie"),
            has_receiver: btf.tracepoint("kfree_skb").is_some_and(|prototype| prototype.params.len() > 3),
            task_stack: offset("task_struct.stack"),
        }
    }
}

/// Size of a task's kernel stack. The kernel shows it nowhere, but how much all stacks take together and how many tasks
/// there are. `None` if that does not come out as a size stacks have.
pub(super) fn stack_bytes() -> Option<u32> {
    let memory = fs::read_to_string("/proc/meminfo").ok()?;
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    stack_bytes_of(&memory, &load)
}

fn stack_bytes_of(memory: &str, load: &str) -> Option<u32> {
    let all = memory.lines().find_map(|line| line.strip_prefix("KernelStack:"))?;
    let all: u64 = all.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    // `0.64 0.58 0.61 2/148 4711`: running and all tasks.
    let (_, tasks) = load.split_whitespace().nth(3)?.split_once('/')?;
    let tasks: u64 = tasks.parse().ok()?;
    // The nearest power of two: some tasks have ended and still have their stack.
    let average = (all * 1024).checked_div(tasks)?;
    let size = ((average * 3).checked_next_power_of_two()?) / 4;
    STACKS.contains(&size).then(|| u32::try_from(size).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_is_the_nearest_power_of_two() {
        let size = |all, tasks| {
            stack_bytes_of(&format!("MemFree: 1 kB\nKernelStack:  {all} kB\n"), &format!("0 0 0 1/{tasks} 9\n"))
        };
        assert_eq!(size(1808, 114), Some(16 << 10));
        assert_eq!(size(2100, 114), Some(16 << 10));
        assert_eq!(size(3500, 114), Some(32 << 10));
        assert_eq!(size(64 * 100, 100), Some(64 << 10));
        assert_eq!(size(100, 100), None, "1 KiB");
        assert_eq!(size(100, 0), None);
        assert_eq!(stack_bytes_of("", ""), None);
    }

    #[test]
    fn this_kernel_has_stacks() {
        assert!(stack_bytes().is_some());
    }
}
