//! The programs. Above each stands the kernel prototype it rests on; all were checked on 6.1, 6.12 and 6.18.

mod drops;
mod function;
mod hops;
mod icmp;
mod mib;
mod nat;
mod neighbour;
mod netfilter;
mod route;
mod tc;

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use netobs_ebpf::Hook;

use crate::access::{Typed, offset};
use crate::observe::{Spot, observe};

/// `TP_PROTO(struct sk_buff *skb)`
#[btf_tracepoint]
fn net_dev_queue(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the packet.
    unsafe { observe::<Typed>(Spot::new(Hook::NetDevQueue), ctx.arg(0)) };
    0
}

/// `TP_PROTO(const struct sk_buff *skb, const struct net_device *dev)`
#[btf_tracepoint]
fn net_dev_start_xmit(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the packet.
    unsafe { observe::<Typed>(Spot::new(Hook::NetDevStartXmit), ctx.arg(0)) };
    0
}

/// `TP_PROTO(struct sk_buff *skb)`
#[btf_tracepoint]
fn netif_rx(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the packet.
    unsafe { observe::<Typed>(Spot::new(Hook::NetifRx), ctx.arg(0)) };
    0
}

/// `TP_PROTO(struct sk_buff *skb)`
#[btf_tracepoint]
fn netif_receive_skb(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the packet.
    unsafe { observe::<Typed>(Spot::new(Hook::NetifReceiveSkb), ctx.arg(0)) };
    0
}

/// `TP_PROTO(struct sk_buff *skb, void *location, enum skb_drop_reason reason)`, and `struct sock *rx_sk` behind it
/// from 6.11 on.
#[btf_tracepoint]
fn kfree_skb(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: arguments as above.
    unsafe {
        let spot = Spot { location: ctx.arg(1), reason: ctx.arg(2), ..Spot::new(Hook::KfreeSkb) };
        observe::<Typed>(spot, ctx.arg(0));
    }
    0
}

/// `TP_PROTO(struct sk_buff *skb)`, and `void *location` behind it from 6.3 on.
#[btf_tracepoint]
fn consume_skb(ctx: BtfTracePointContext) -> i32 {
    let location = if offset!(consume_has_location) == 0 { 0 } else { ctx.arg(1) };
    // SAFETY: argument 0 is the packet.
    unsafe { observe::<Typed>(Spot { location, ..Spot::new(Hook::ConsumeSkb) }, ctx.arg(0)) };
    0
}

/// `TP_PROTO(const struct sk_buff *skb, int len)`
#[btf_tracepoint]
fn skb_copy_datagram_iovec(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the packet.
    unsafe { observe::<Typed>(Spot::new(Hook::SkbCopyDatagram), ctx.arg(0)) };
    0
}

/// `TP_PROTO(struct sock *sk, struct sk_buff *skb)`
#[btf_tracepoint]
fn tcp_probe(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 1 is the packet.
    unsafe { observe::<Typed>(Spot::new(Hook::TcpProbe), ctx.arg(1)) };
    0
}
