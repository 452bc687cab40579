//! The two programs of `netobs drops`. Neither records anything: they count.
//!
//! `TP_PROTO(struct sk_buff *skb, void *location, enum skb_drop_reason reason)`, and `struct sock *rx_sk` behind it from
//! 6.11 on.

use core::ptr::{addr_of, null};

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::access::{Access, Probed, constant};
use crate::drop_counter::{self, Counting, DROP_SETTINGS, Dropped};

/// Counts every drop, unless the kernel does not run it because it is running already on this CPU.
#[btf_tracepoint(function = "kfree_skb")]
fn kfree_skb_count(ctx: BtfTracePointContext) -> i32 {
    let dropped = dropped(&ctx);
    drop_counter::note(dropped.skb);
    // SAFETY: the packet is live.
    unsafe { drop_counter::count(&dropped, Counting::First) };
    0
}

/// Runs right after the other, and counts what that one did not see.
#[btf_tracepoint(function = "kfree_skb")]
fn kfree_skb_recount(ctx: BtfTracePointContext) -> i32 {
    let dropped = dropped(&ctx);
    let arguments = ctx.as_ptr();
    // The arguments lie on the kernel's stack. To the verifier their address is no number, but what the helper copies
    // out of the program's own stack is.
    // SAFETY: the source is a variable of this function.
    let arguments = unsafe { Probed::read::<u64>(addr_of!(arguments).cast(), 0) };
    if drop_counter::was_missed(dropped.skb, arguments) {
        // SAFETY: the packet is live.
        unsafe { drop_counter::count(&dropped, Counting::Second) };
    }
    0
}

#[inline(always)]
fn dropped(ctx: &BtfTracePointContext) -> Dropped {
    Dropped {
        skb: ctx.arg(0),
        location: ctx.arg(1),
        reason: ctx.arg(2),
        receiver: if constant(&DROP_SETTINGS.has_receiver) == 0 { null() } else { ctx.arg(3) },
    }
}
