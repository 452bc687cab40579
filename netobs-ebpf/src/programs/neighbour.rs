//! Neighbours: who is asked for, who answers, and what waits meanwhile.
//!
//! None of the tracepoints is told of a packet; [`waiting`](crate::waiting) finds it in the neighbour's queue.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::waiting::Neighbour;

/// `TP_PROTO(struct neigh_table *tbl, struct net_device *dev, const void *pkey, const struct neighbour *n,
/// bool exempt_from_gc)`
#[btf_tracepoint]
fn neigh_create(ctx: BtfTracePointContext) -> i32 {
    Neighbour::new(ctx.arg(3)).created();
    0
}

/// `TP_PROTO(struct neighbour *neigh, int rc)`. 1 says that the packet, if there was one, was put into the queue.
#[btf_tracepoint]
fn neigh_event_send_done(ctx: BtfTracePointContext) -> i32 {
    if ctx.arg::<i32>(1) == 1 {
        Neighbour::new(ctx.arg(0)).queued();
    }
    0
}

/// `TP_PROTO(struct neighbour *n, const u8 *lladdr, u8 new, u32 flags, u32 nlmsg_pid)`. Nothing has changed yet.
#[btf_tracepoint]
fn neigh_update(ctx: BtfTracePointContext) -> i32 {
    Neighbour::new(ctx.arg(0)).updating(ctx.arg(2));
    0
}

/// `TP_PROTO(struct neighbour *neigh, int err)`. What waited was sent in between.
#[btf_tracepoint]
fn neigh_update_done(ctx: BtfTracePointContext) -> i32 {
    Neighbour::new(ctx.arg(0)).updated();
    0
}
