//! The one program on the entries of all functions in the table. Which function it is, and which argument the packet,
//! comes with the attachment.
//!
//! It must be small: it is verified once and runs dozens of times for every packet. So it knows no conditions and no
//! filter, it only adds to packets that are followed already, and remembers for a moment what a new one passes before it
//! can be looked at.

use core::arch::asm;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::bpf_get_attach_cookie;
use aya_ebpf::macros::kprobe;
use aya_ebpf::programs::ProbeContext;
use netobs_ebpf::{CALL_BYTES, Call, Cookie, Hook};

use crate::access::{Access, Probed, offset};
use crate::early;
use crate::identity;
use crate::observe::place;
use crate::packet::Extent;
use crate::record::record_call;
use crate::seen;

/// Any function with a `struct sk_buff *` or `struct sk_buff **` among its first four arguments.
#[kprobe]
fn function(ctx: ProbeContext) -> u32 {
    // SAFETY: the helper has no preconditions beyond its own context.
    let cookie = Cookie(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    // All are loaded, then one is chosen: the compiler must not choose the address first, since the verifier allows loads
    // from the context only where the offset is in the instruction.
    let [first, second, third, fourth] =
        [loaded(ctx.arg(0)), loaded(ctx.arg(1)), loaded(ctx.arg(2)), loaded(ctx.arg(3))];
    let argument = match cookie.argument() {
        0 => first,
        1 => second,
        2 => third,
        _ => fourth,
    } as *const u8;
    // SAFETY: user space found out from BTF that the argument is one or the other.
    unsafe {
        let skb = if cookie.is_indirect() { Probed::read(argument, 0) } else { argument };
        called(cookie, skb);
    }
    0
}

/// The value, of which the compiler does not know where it came from.
#[inline(always)]
fn loaded(argument: Option<u64>) -> u64 {
    let mut value = argument.unwrap_or(0);
    // SAFETY: does nothing.
    unsafe { asm!("/* {0} */", inout(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// # Safety
/// `skb` is a live `struct sk_buff *`.
#[inline(always)]
unsafe fn called(cookie: Cookie, skb: *const u8) {
    if seen::is_anything_followed() {
        if cookie.begins() {
            identity::forget(skb as u64);
        // SAFETY: as the caller vouches.
        } else if unsafe { record_followed(cookie.site(), skb) } {
            return;
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { early::note(cookie, skb) };
}

/// Records the call if the packet is followed; says whether it is.
///
/// # Safety
/// `skb` is a live `struct sk_buff *`.
#[inline(always)]
unsafe fn record_followed(site: u8, skb: *const u8) -> bool {
    // SAFETY: the offsets are those of the structs the pointers are to.
    unsafe {
        let extent = || Extent::of::<Probed>(Hook::Function, skb);
        let Some((packet, extent)) = identity::find_followed(skb as u64, extent) else { return false };
        let place = place(Probed::read(skb, offset!(skb_dev)), Probed::read(skb, offset!(skb_sk)));
        early::record(skb as u64, packet, place);
        let call = Call {
            time: bpf_ktime_get_ns(),
            packet,
            netns: (place >> 32) as u32,
            ifindex: place as u32,
            length: extent.length,
            protocol: u16::from_be(Probed::read(skb, offset!(skb_protocol))),
            site,
            is_early: 0,
            header: [0; CALL_BYTES / 8],
        };
        record_call(call, (extent.head as *const u8).wrapping_add(extent.network as usize));
    }
    true
}
