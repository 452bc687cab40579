//! What a new packet passes before it can be looked at.
//!
//! A socket's packet goes through half a dozen functions before the first hook that can tell whether it is of interest
//! (its headers are complete, and the filter is there), and so does a copy that the bridge makes. What it passed is kept
//! until it is followed and then recorded at the next function, so that the programs at the hooks, which 6.1 can barely
//! verify as they are, need not know of it. Of every other packet it is forgotten.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use netobs_ebpf::{CALL_BYTES, Call, Cookie};

use crate::access::{Access, Probed, offset};
use crate::observe::place;
use crate::record::record_call;

/// Calls that are kept of one packet; there are up to nine from a socket to `net_dev_queue`.
const CALLS: u64 = 16;
/// Packets that one CPU can have between the two: an interrupt brings packets of its own.
const PACKETS: u32 = 64;

#[repr(C)]
#[derive(Clone, Copy)]
struct EarlyCall {
    time: u64,
    device: u64,
    site: u64,
}

/// The packet at this address and what it has passed so far. An interrupt may change it between two reads; the worst
/// that comes of it is a hop too few.
#[repr(C)]
#[derive(Clone, Copy)]
struct Early {
    skb: u64,
    count: u64,
    calls: [EarlyCall; CALLS as usize],
}

#[map]
static EARLY: PerCpuArray<Early> = PerCpuArray::with_max_entries(PACKETS, 0);

#[inline(always)]
fn of(skb: u64) -> Option<*mut Early> {
    // No skb is smaller than 256 bytes.
    EARLY.get_ptr_mut((skb >> 8) as u32 & (PACKETS - 1))
}

/// Notes that a packet which is not followed is handed to a function.
///
/// # Safety
/// `skb` is a live `struct sk_buff *`.
#[inline(always)]
pub unsafe fn note(cookie: Cookie, skb: *const u8) {
    let Some(early) = of(skb as u64) else { return };
    // SAFETY: this CPU's value; the index is masked.
    unsafe {
        let is_known = (*early).skb == skb as u64;
        if cookie.ends() {
            if is_known {
                (*early).skb = 0;
            }
            return;
        }
        // A function that may be the first is the second if the other kind came just before.
        let begins = cookie.begins() || cookie.may_begin() && !(is_known && (*early).count == 1);
        if begins {
            (*early).skb = skb as u64;
            (*early).count = 0;
        } else if !is_known {
            return;
        }
        let count = (*early).count;
        if count >= CALLS {
            return;
        }
        let device: u64 = Probed::read(skb, offset!(skb_dev));
        let call = EarlyCall { time: bpf_ktime_get_ns(), device, site: u64::from(cookie.site()) };
        (*early).calls.as_mut_ptr().add((count & (CALLS - 1)) as usize).write(call);
        (*early).count = count + 1;
    }
}

/// Records what a packet passed before its first event, once. `place` is where it is now, as in `observe::place`.
#[inline(always)]
pub fn record(skb: u64, packet: u64, place: u64) {
    early_calls(skb, packet, place);
}

/// Exported so that it is verified by itself, as `fingerprint_hash` is.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn early_calls(skb: u64, packet: u64, origin: u64) -> u64 {
    let Some(early) = of(skb) else { return 0 };
    // SAFETY: this CPU's value; the index is masked. A device that a packet is on stays there.
    unsafe {
        if (*early).skb != skb {
            return 0;
        }
        (*early).skb = 0;
        let count = (*early).count;
        for index in 0..CALLS {
            if index >= count {
                break;
            }
            let call = *(*early).calls.as_ptr().add((index & (CALLS - 1)) as usize);
            // A socket's packet without a device is in the namespace that it leaves by a device of.
            let known: u64 = place(call.device as *const u8, core::ptr::null());
            let at = if known == 0 { origin & !u64::from(u32::MAX) } else { known };
            let call = Call {
                time: call.time,
                packet,
                netns: (at >> 32) as u32,
                ifindex: at as u32,
                length: 0,
                protocol: 0,
                site: call.site as u8,
                is_early: 1,
                header: [0; CALL_BYTES / 8],
            };
            record_call(call, core::ptr::null());
        }
    }
    0
}
