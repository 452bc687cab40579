//! The agent's programs on the hooks of devices. They record nothing: they count.

use aya_ebpf::macros::{btf_tracepoint, kprobe};
use aya_ebpf::programs::{BtfTracePointContext, ProbeContext};
use netobs_ebpf::Hook;

use crate::access::{Probed, Typed};
use crate::hop_counter::{count, count_answer};

/// `ICMP_DEST_UNREACH`
const UNREACHABLE: i32 = 3;
/// `ICMP_FRAG_NEEDED`
const FRAG_NEEDED: i32 = 4;

/// `TP_PROTO(struct sk_buff *skb)`
#[btf_tracepoint(function = "net_dev_queue")]
fn net_dev_queue_count(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the packet.
    unsafe { count(Hook::NetDevQueue, ctx.arg(0)) };
    0
}

/// `TP_PROTO(const struct sk_buff *skb, const struct net_device *dev)`
#[btf_tracepoint(function = "net_dev_start_xmit")]
fn net_dev_start_xmit_count(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the packet.
    unsafe { count(Hook::NetDevStartXmit, ctx.arg(0)) };
    0
}

/// `TP_PROTO(struct sk_buff *skb)`
#[btf_tracepoint(function = "netif_rx")]
fn netif_rx_count(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the packet.
    unsafe { count(Hook::NetifRx, ctx.arg(0)) };
    0
}

/// `TP_PROTO(struct sk_buff *skb)`
#[btf_tracepoint(function = "netif_receive_skb")]
fn netif_receive_skb_count(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the packet.
    unsafe { count(Hook::NetifReceiveSkb, ctx.arg(0)) };
    0
}

/// `TP_PROTO(const struct sk_buff *skb, int type, int code)`. Called when nothing keeps the error back any more.
#[btf_tracepoint(function = "icmp_send")]
fn icmp_send_count(ctx: BtfTracePointContext) -> i32 {
    let (kind, code): (i32, i32) = (ctx.arg(1), ctx.arg(2));
    if kind == UNREACHABLE && code == FRAG_NEEDED {
        // SAFETY: argument 0 is the packet that was answered.
        unsafe { count_answer::<Typed>(Hook::IcmpSend, ctx.arg(0)) };
    }
    0
}

/// `void __icmp_send(struct sk_buff *skb_in, int type, int code, __be32 info, const struct ip_options *opt)`, where there
/// is no such tracepoint. Of this error no rate limit keeps any back (`icmpv4_mask_allow`), and what else may is rare: a
/// broadcast, an answer to an error, no way back.
#[kprobe]
fn icmp_send_count_probed(ctx: ProbeContext) -> u32 {
    if let (Some(skb), Some(kind), Some(code)) = (ctx.arg::<*const u8>(0), ctx.arg::<i32>(1), ctx.arg::<i32>(2))
        && kind == UNREACHABLE
        && code == FRAG_NEEDED
    {
        // SAFETY: the argument is as above.
        unsafe { count_answer::<Probed>(Hook::IcmpSend, skb) };
    }
    0
}
