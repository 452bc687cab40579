//! The programs of `netobs drops`. None records anything: they count.
//!
//! `TP_PROTO(struct sk_buff *skb, void *location, enum skb_drop_reason reason)`, and `struct sock *rx_sk` behind it from
//! 6.11 on.

use core::ptr::null;

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::access::constant;
use crate::counting::{Counting, is_to_count};
use crate::drop_counter::{self, DROP_SETTINGS, Dropped};

/// Counts every drop, unless the kernel does not run it because it is running already on this CPU.
#[btf_tracepoint(function = "kfree_skb")]
fn kfree_skb_count(ctx: BtfTracePointContext) -> i32 {
    count(&ctx, Counting::First)
}

/// Runs right after the other, and counts what that one was not run for.
#[btf_tracepoint(function = "kfree_skb")]
fn kfree_skb_recount(ctx: BtfTracePointContext) -> i32 {
    count(&ctx, Counting::Second)
}

/// Runs right after both, and counts what neither was run for.
#[btf_tracepoint(function = "kfree_skb")]
fn kfree_skb_last_count(ctx: BtfTracePointContext) -> i32 {
    count(&ctx, Counting::Third)
}

#[inline(always)]
fn count(ctx: &BtfTracePointContext, by: Counting) -> i32 {
    if is_to_count(ctx, by) {
        // SAFETY: the packet is live.
        unsafe { drop_counter::count(&dropped(ctx), by) };
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
