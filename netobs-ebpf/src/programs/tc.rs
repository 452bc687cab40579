//! The classifiers at a device's ingress and egress. They look and never touch: whatever else is attached there decides.

use core::ptr::addr_of;

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use netobs_ebpf::Hook;

use crate::access::{Access, Probed};
use crate::observe::{Spot, observe};

/// `TCX_NEXT`, and `TC_ACT_UNSPEC` of a clsact filter with direct action: the next program or filter is asked. Anything
/// else, `TC_ACT_OK` too, would end the chain and take the packet from those behind.
const NEXT: i32 = -1;

/// `sch_handle_ingress`, called by `__netif_receive_skb_core` after the tracepoint.
#[classifier]
fn tc_ingress(ctx: TcContext) -> i32 {
    // SAFETY: the address is the packet's.
    unsafe { observe::<Probed>(Spot::new(Hook::TcIngress), packet(&ctx)) };
    NEXT
}

/// `sch_handle_egress`, called by `__dev_queue_xmit` before the tracepoint.
#[classifier]
fn tc_egress(ctx: TcContext) -> i32 {
    // SAFETY: the address is the packet's.
    unsafe { observe::<Probed>(Spot::new(Hook::TcEgress), packet(&ctx)) };
    NEXT
}

/// The packet's `struct sk_buff *`, as a plain number. The context is that pointer (`bpf_prog_run(prog, skb)` in
/// `tcx_run` and `cls_bpf_classify`), but to the verifier it is a `struct __sk_buff *`, which may be neither hashed nor
/// taken apart. What the helper copies out of the program's own stack is a number of unknown value (6.1 to 7.0).
#[inline(always)]
fn packet(ctx: &TcContext) -> *const u8 {
    let context = ctx.as_ptr();
    // SAFETY: the source is a variable of this function.
    unsafe { Probed::read::<u64>(addr_of!(context).cast(), 0) as *const u8 }
}
