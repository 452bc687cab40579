//! Times some packets from hook to hook.
//!
//! A packet that is picked at one of its hooks has a slot, which its address leads to: to all others a hook costs one
//! look into memory that nobody is writing to. Freeing is not observed, since that would cost every packet. So an address
//! may be another packet's by the next hook, and a step counts only if it is one that a packet can make, and the packet
//! is the same by its fingerprint:
//!
//! | from | to | |
//! |---|---|---|
//! | net_dev_queue | net_dev_start_xmit | the wait in a queueing discipline |
//! | net_dev_start_xmit | netif_rx | through a veth pair or the loopback |
//! | netif_rx | netif_receive_skb | the wait for a softirq |
//! | netif_receive_skb | netif_receive_skb, net_dev_queue | through a bridge or the IP stack, if `skb_iif` is set |
//! | net_dev_start_xmit | net_dev_queue | through a device on top of another, if `skb_iif` is set |
//!
//! `skb_iif` is zero in an skb that was just made, and set by `__netif_receive_skb_core` behind the tracepoint. A copy
//! has that of its original, so what a bridge copies to many ports is not timed there: one ARP request is like the next.

use core::ptr::addr_of_mut;

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use netobs_ebpf::{
    Hook, HopRow, LATENCY_BOUNDS, LATENCY_LIMIT, LATENCY_ROWS, LATENCY_SAMPLE, LATENCY_SLOTS, Latency, LatencySlot,
    latency_row,
};

use crate::access::{Access, LAYOUT, Probed, offset};
use crate::fingerprint::Fingerprint;
use crate::packet::Extent;

#[map]
static LATENCY_SLOT: Array<LatencySlot> = Array::with_max_entries(LATENCY_SLOTS, 0);

#[map]
static LATENCY: PerCpuArray<Latency> = PerCpuArray::with_max_entries(LATENCY_ROWS, 0);

/// `PACKET_BROADCAST` and `PACKET_MULTICAST` in `skb->pkt_type`: a bridge makes a copy for each port.
const TO_MANY: [u8; 2] = [1, 2];

/// A packet passes a hook, and was counted in this row.
///
/// # Safety
/// `row` is this CPU's, and its `skb` the packet's.
#[inline(always)]
pub unsafe fn pass(hook: Hook, row: *mut HopRow) {
    // SAFETY: as the caller vouches. What comes out of a map is a plain number to the verifier.
    unsafe {
        let skb = addr_of_mut!((*row).skb).read_volatile();
        let Some(slot) = slot_of(skb) else { return };
        let is_timed = (*slot).skb == skb;
        let countdown = (*row).countdown;
        if is_timed || countdown == 0 {
            if !is_timed {
                (*row).countdown = u64::from(bpf_get_prandom_u32()) & (2 * LATENCY_SAMPLE - 1);
            }
            latency_step(skb, hook as u64);
        } else {
            (*row).countdown = countdown - 1;
        }
    }
}

#[inline(always)]
fn slot_of(skb: u64) -> Option<*mut LatencySlot> {
    let place = skb.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - LATENCY_SLOTS.trailing_zeros());
    LATENCY_SLOT.get_ptr_mut(place as u32)
}

/// Ends a step of a packet that is being timed, if it is one, and begins the next.
///
/// Exported so that it is verified by itself, as `fingerprint_hash` is, and is out of the way of packets that are not.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn latency_step(skb: u64, hook: u64) -> u64 {
    let hook = match hook {
        0 => Hook::NetDevQueue,
        1 => Hook::NetDevStartXmit,
        2 => Hook::NetifRx,
        3 => Hook::NetifReceiveSkb,
        _ => return 0,
    };
    let Some(slot) = slot_of(skb) else { return 0 };
    let packet = skb as *const u8;
    // SAFETY: the helper behind Probed checks every address; the clock has no preconditions; a slot is four words, and
    // its seal tells whether they belong together.
    unsafe {
        let now = bpf_ktime_get_ns();
        let LatencySlot { skb: known, time, fingerprint: before, seal } = *slot;
        let fingerprint = Fingerprint::of(&Extent::of::<Probed>(hook, packet));
        let from = seal & 3;
        if known == skb {
            let kind = Probed::read_bits(packet, &LAYOUT.skb_pkt_type);
            let was_received = Probed::read::<u32>(packet, offset!(skb_iif)) != 0 && !TO_MANY.contains(&kind);
            let elapsed = now.wrapping_sub(time);
            let is_whole = seal == sealed(skb, time, before, from);
            let is_same = is_whole && fingerprint.is_same_packet(Fingerprint::of_word(before));
            if !is_same || !is_step(from, hook, was_received) || elapsed > LATENCY_LIMIT {
                (*slot).skb = 0;
                return 0;
            }
            add(from, hook, elapsed);
        }
        let fingerprint = fingerprint.word();
        *slot = LatencySlot { skb, time: now, fingerprint, seal: sealed(skb, now, fingerprint, hook as u64) };
    }
    0
}

/// Whether one packet can be seen at these two hooks one after the other.
#[inline(always)]
fn is_step(from: u64, to: Hook, was_received: bool) -> bool {
    const QUEUE: u64 = Hook::NetDevQueue as u64;
    const XMIT: u64 = Hook::NetDevStartXmit as u64;
    const RX: u64 = Hook::NetifRx as u64;
    match to {
        Hook::NetDevQueue => was_received && from != QUEUE && from != RX,
        Hook::NetDevStartXmit => from == QUEUE,
        Hook::NetifRx => from == XMIT,
        Hook::NetifReceiveSkb => from == RX || was_received && from == Hook::NetifReceiveSkb as u64,
        _ => false,
    }
}

/// The hook in its two lowest bits, and above them what fits only the rest.
#[inline(always)]
const fn sealed(skb: u64, time: u64, fingerprint: u64, hook: u64) -> u64 {
    (skb ^ time.rotate_left(21) ^ fingerprint.rotate_left(42)).wrapping_mul(0x9e37_79b9_7f4a_7c15) & !3 | hook
}

#[inline(always)]
fn add(from: u64, to: Hook, elapsed: u64) {
    let Some(row) = LATENCY.get_ptr_mut(latency_row(from as u32, to as u32)) else { return };
    let mut bucket = 0;
    for bound in LATENCY_BOUNDS {
        bucket += usize::from(elapsed > bound);
    }
    // SAFETY: this CPU's value; only the program of `to` writes this row, and does not interrupt itself.
    unsafe {
        (*row).sum += elapsed;
        if let Some(count) = (*row).buckets.get_mut(bucket) {
            *count += 1;
        }
    }
}
