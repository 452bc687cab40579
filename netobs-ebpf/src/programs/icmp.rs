//! ICMP errors that the kernel sends because of a packet.

use aya_ebpf::macros::{btf_tracepoint, kprobe};
use aya_ebpf::programs::{BtfTracePointContext, ProbeContext};
use netobs_ebpf::{Hook, icmp};

use crate::access::{Probed, Typed};
use crate::observe::{Spot, observe};

/// `TP_PROTO(const struct sk_buff *skb, int type, int code)`. Called when nothing keeps the error back any more.
#[btf_tracepoint]
fn icmp_send(ctx: BtfTracePointContext) -> i32 {
    let (kind, code): (i32, i32) = (ctx.arg(1), ctx.arg(2));
    let spot = Spot { location: icmp::pack(kind as u8, code as u8) | icmp::SENT, ..Spot::new(Hook::IcmpSend) };
    // SAFETY: argument 0 is the packet.
    unsafe { observe::<Typed>(spot, ctx.arg(0)) };
    0
}

/// `void __icmp_send(struct sk_buff *skb_in, int type, int code, __be32 info, const struct ip_options *opt)`, and
/// `const struct inet_skb_parm *parm` in the last one's place from 6.16 on.
#[kprobe]
fn icmp_send_probed(ctx: ProbeContext) -> u32 {
    if let (Some(skb), Some(kind), Some(code), Some(info)) =
        (ctx.arg::<*const u8>(0), ctx.arg::<u32>(1), ctx.arg::<u32>(2), ctx.arg::<u32>(3))
    {
        let location = icmp::pack(kind as u8, code as u8);
        // SAFETY: the arguments are as above.
        unsafe { observe::<Probed>(Spot { location, reason: info.swap_bytes(), ..Spot::new(Hook::IcmpSend) }, skb) };
    }
    0
}

/// `void icmp6_send(struct sk_buff *skb, u8 type, u8 code, __u32 info, const struct in6_addr *force_saddr,
/// const struct inet6_skb_parm *parm)`
#[kprobe]
fn icmp6_send_probed(ctx: ProbeContext) -> u32 {
    if let (Some(skb), Some(kind), Some(code), Some(info)) =
        (ctx.arg::<*const u8>(0), ctx.arg::<u32>(1), ctx.arg::<u32>(2), ctx.arg::<u32>(3))
    {
        let location = icmp::pack(kind as u8, code as u8);
        // SAFETY: the arguments are as above.
        unsafe { observe::<Probed>(Spot { location, reason: info, ..Spot::new(Hook::Icmp6Send) }, skb) };
    }
    0
}
