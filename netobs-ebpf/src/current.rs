//! The packet that each CPU is at work on, for hooks that are told of no packet.
//!
//! It is the one that was seen last, whoever follows it. Interrupts nest, a list of packets is received as one, and a
//! packet may be gone without a word: whoever asks compares what it finds with what it was told.

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;

/// The address of its skb.
#[map]
static CURRENT: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// A packet was seen.
#[inline(always)]
pub fn set(skb: u64) {
    if let Some(current) = CURRENT.get_ptr_mut(0) {
        // SAFETY: this CPU's value, a word that is written whole.
        unsafe { *current = skb };
    }
}

/// The skb of the packet that was seen last; 0 if there was none.
#[inline(always)]
pub fn get() -> u64 {
    // SAFETY: as above.
    CURRENT.get_ptr(0).map_or(0, |current| unsafe { *current })
}
