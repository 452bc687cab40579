//! The packet the filter turned down last, on each CPU.
//!
//! From `net_dev_queue` over `net_dev_start_xmit` and `netif_rx` to `netif_receive_skb` a veth hands a packet on, on one
//! CPU and untouched: what the filter said at one of them holds at the next.

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use netobs_ebpf::Hook;

use crate::packet::Extent;

#[repr(C)]
#[derive(Clone, Copy)]
struct Rejected {
    skb: u64,
    head: u64,
    length: u32,
    hook: u32,
}

#[map]
static REJECTED: PerCpuArray<Rejected> = PerCpuArray::with_max_entries(1, 0);

/// Whether the packet comes straight from a hook where the filter turned it down.
#[inline(always)]
pub fn is_rejected(hook: Hook, skb: u64, extent: &Extent) -> bool {
    let before = match hook {
        Hook::NetDevStartXmit => Hook::NetDevQueue,
        Hook::NetifRx => Hook::NetDevStartXmit,
        Hook::NetifReceiveSkb => Hook::NetifRx,
        _ => return false,
    };
    let Some(last) = REJECTED.get_ptr_mut(0) else { return false };
    // SAFETY: this CPU's value. An interrupt may replace it between two reads; then one of them does not fit.
    unsafe {
        let same = (*last).hook == before as u32
            && (*last).skb == skb
            && (*last).head == extent.head
            && (*last).length == extent.length;
        if same {
            (*last).hook = hook as u32;
        }
        same
    }
}

/// Notes that the filter turned the packet down here.
#[inline(always)]
pub fn reject(hook: Hook, skb: u64, extent: &Extent) {
    if let Some(last) = REJECTED.get_ptr_mut(0) {
        // SAFETY: this CPU's value.
        unsafe { *last = Rejected { skb, head: extent.head, length: extent.length, hook: hook as u32 } };
    }
}
