//! Which program counts a drop.
//!
//! The kernel does not run a tracing program while the same program runs on the same CPU (`__bpf_trace_run`): a drop in a
//! softirq that interrupts the counting of another drop would be lost, and where tracing can be preempted (7.0) all drops
//! of the task that runs instead. So there are several programs, run one after the other for each call of the tracepoint.
//! The first counts, and notes which call it counted; each later one counts what no note is found of. Where tracing can be
//! preempted the task can go to another CPU between two of them.

use core::ptr::{addr_of, addr_of_mut, read_volatile, write_volatile};

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_map_lookup_percpu_elem;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use netobs_ebpf::{DropState, NOTE_SETS, NOTE_WAYS};

#[map]
pub static DROP_STATE: PerCpuArray<DropState> = PerCpuArray::with_max_entries(1, 0);

/// Which of the programs counts, in the order in which they run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    First,
    Second,
    Third,
}

/// CPUs that are searched for the note of a task that went to another one between two programs.
const CPUS: u32 = 256;

/// Whether this program is to count the call, and notes that it does.
#[inline(always)]
pub fn is_to_count(ctx: &impl EbpfContext, by: Counting) -> bool {
    let Some(state) = DROP_STATE.get_ptr_mut(0) else { return false };
    // SAFETY: this CPU's value, and no other run of this program is on this CPU.
    unsafe {
        let arguments = place(ctx, state, by);
        if by != Counting::First {
            // The task may have come from another CPU, be it to one where the first is interrupted.
            if is_noted(state, arguments, by) || is_noted_elsewhere(arguments, by) {
                return false;
            }
            (*state).recovered[by as usize] += 1;
        }
        if by != Counting::Third {
            note(state, arguments, by);
        }
    }
    true
}

/// Notes that this call is counted.
///
/// # Safety
/// `state` is this CPU's, and the program is not the last.
#[inline(always)]
unsafe fn note(state: *mut DropState, arguments: u64, by: Counting) {
    // SAFETY: as the caller vouches; the indices are below the lengths.
    unsafe {
        let set = addr_of_mut!((*state).noted[by as usize][set_of(arguments)]);
        // A note of the same stack was never taken, and its call is over.
        for way in 0..NOTE_WAYS {
            if stack_of((*set)[way]) == stack_of(arguments) {
                (*set)[way] = arguments;
                return;
            }
        }
        for way in 0..NOTE_WAYS {
            if (*set)[way] == 0 {
                (*set)[way] = arguments;
                return;
            }
        }
        let next = (*state).next_way[by as usize];
        (*state).next_way[by as usize] = next.wrapping_add(1);
        (*set)[next as usize % NOTE_WAYS] = arguments;
    }
}

/// Where the call's arguments lie. To the verifier that is a pointer it lets nobody reckon with, but what is read from a
/// map is a number.
///
/// # Safety
/// `state` is this CPU's.
#[inline(always)]
unsafe fn place(ctx: &impl EbpfContext, state: *mut DropState, by: Counting) -> u64 {
    // SAFETY: each program has a word of its own.
    unsafe {
        let word = addr_of_mut!((*state).arguments[by as usize]);
        write_volatile(word, ctx.as_ptr() as u64);
        read_volatile(word)
    }
}

/// A number for the stack: tasks and softirqs have at least 16 KiB each, aligned to that, on 64-bit machines. A larger
/// one has several numbers, which costs room for notes only. The place on a task's stack is another one for each of its
/// system calls (`randomize_kstack_offset`), so notes of an earlier call's place would pile up.
#[inline(always)]
const fn stack_of(arguments: u64) -> u64 {
    arguments >> 14
}

/// Fibonacci hashing: the upper bits of the product depend on all bits of the number.
#[inline(always)]
const fn set_of(arguments: u64) -> usize {
    (stack_of(arguments).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - NOTE_SETS.ilog2())) as usize
}

/// Whether a CPU has a note of this call by an earlier program. The last program takes it away.
///
/// # Safety
/// `state` is valid.
#[inline(always)]
unsafe fn is_noted(state: *mut DropState, arguments: u64, by: Counting) -> bool {
    // SAFETY: as the caller vouches; the indices are below the lengths.
    unsafe {
        for earlier in 0..by as usize {
            let set = addr_of_mut!((*state).noted[earlier][set_of(arguments)]);
            for way in 0..NOTE_WAYS {
                if (*set)[way] == arguments {
                    if by == Counting::Third {
                        (*set)[way] = 0;
                    }
                    return true;
                }
            }
        }
    }
    false
}

/// As above, of any CPU (`bpf_map_lookup_percpu_elem`, 5.19).
#[inline(always)]
fn is_noted_elsewhere(arguments: u64, by: Counting) -> bool {
    let first = 0_u32;
    for cpu in 0..CPUS {
        // SAFETY: the map is an array, the key a variable of this function.
        let state =
            unsafe { bpf_map_lookup_percpu_elem(addr_of!(DROP_STATE).cast_mut().cast(), addr_of!(first).cast(), cpu) };
        if state.is_null() {
            return false;
        }
        // SAFETY: checked. That CPU may write other notes meanwhile, but not this one.
        if unsafe { is_noted(state.cast(), arguments, by) } {
            return true;
        }
    }
    false
}
