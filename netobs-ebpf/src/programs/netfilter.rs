//! The five netfilter hooks: by two programs at each, before and behind everything else that is registered there, or
//! where the kernel has no netfilter programs by the function that walks what is registered.

use core::ptr::read_volatile;

use aya_ebpf::macros::kprobe;
use aya_ebpf::programs::ProbeContext;
use netobs_ebpf::{Hook, flags};

use crate::access::{Access, LAYOUT, Probed, Typed, constant, offset};
use crate::current;
use crate::follow::follow;
use crate::observe::{Spot, observe};
use crate::seen;

/// `NF_ACCEPT`: whatever is registered behind decides.
pub const ACCEPT: u32 = 1;
/// `NFPROTO_IPV4`
const IPV4: u8 = 2;
/// `NFPROTO_IPV6`
const IPV6: u8 = 10;

/// `struct bpf_nf_ctx { const struct nf_hook_state *state; struct sk_buff *skb; }`
///
/// Written without aya's macro, which knows no netfilter programs, and whose others return 0: to netfilter that is
/// `NF_DROP`. The section names a type of program so that the object can be read; user space loads it as what it is.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tracepoint/nf_entering")]
extern "C" fn nf_entering(context: *const *const u8) -> u32 {
    // SAFETY: the context is what user space loads the program for.
    unsafe {
        if let Some((spot, skb)) = of_context(context, 0) {
            // One hook, known to the compiler: with five possible ones the verifier would go all the way five times.
            if matches!(spot.hook, Hook::NfOutput) {
                observe::<Typed>(Spot { hook: Hook::NfOutput, ..spot }, skb);
            } else {
                current::set(skb as u64);
                follow::<Typed>(spot, skb);
            }
        }
    }
    ACCEPT
}

/// As [`nf_entering`], behind everything else. Whatever leaves has entered: it only follows.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tracepoint/nf_leaving")]
extern "C" fn nf_leaving(context: *const *const u8) -> u32 {
    // SAFETY: the context is what user space loads the program for.
    unsafe {
        if let Some((spot, skb)) = of_context(context, flags::LEAVING) {
            follow::<Typed>(spot, skb);
        }
    }
    ACCEPT
}

/// `int nf_hook_slow(struct sk_buff *skb, struct nf_hook_state *state, const struct nf_hook_entries *e, unsigned int s)`
///
/// A packet made in this namespace is not seen here for the first time, as it is by the netfilter programs: it would take
/// the whole of `observe`, for a hook not known beforehand, and 6.1 gives up on that.
#[kprobe]
fn nf_hook_slow(ctx: ProbeContext) -> u32 {
    if let (Some(skb), Some(state)) = (ctx.arg::<*const u8>(0), ctx.arg::<*const u8>(1)) {
        // SAFETY: the arguments are as above.
        unsafe {
            if let Some(spot) = spot::<Probed>(state, skb, 0) {
                follow::<Probed>(spot, skb);
            }
        }
    }
    0
}

/// # Safety
/// The context is a `struct bpf_nf_ctx *`.
#[inline(always)]
unsafe fn of_context(context: *const *const u8, leaving: u16) -> Option<(Spot, *const u8)> {
    // The context is the program type's interface, not a layout: the verifier turns each of these two loads, and no
    // other, into what the running kernel's context has there, and knows the types of both.
    // SAFETY: as the caller vouches.
    unsafe {
        let state = read_volatile(context);
        let skb = read_volatile(context.add(1));
        Some((spot::<Typed>(state, skb, leaving)?, skb))
    }
}

/// # Safety
/// The pointers are to a live `struct nf_hook_state` and `struct sk_buff`.
#[inline(always)]
unsafe fn spot<A: Access>(state: *const u8, skb: *const u8, leaving: u16) -> Option<Spot> {
    // SAFETY: as the caller vouches.
    unsafe {
        let number: u8 = A::read(state, offset!(nf_hook));
        let family: u8 = A::read(state, offset!(nf_family));
        if family != IPV4 && family != IPV6 {
            return None;
        }
        let hook = Hook::of_netfilter(number)?;
        // Most packets are nobody's concern: they need not be looked at any closer.
        if (leaving != 0 || !hook.may_be_first()) && !seen::is_anything_followed() {
            return None;
        }
        let input: *const u8 = A::read(state, offset!(nf_in));
        let output: *const u8 = A::read(state, offset!(nf_out));
        let extensions: u8 = A::read(skb, offset!(skb_extensions));
        let bridged = if extensions & constant(&LAYOUT.bridge_nf) as u8 == 0 { 0 } else { flags::BRIDGED };
        Some(Spot {
            flags: leaving | bridged,
            location: if output.is_null() { 0 } else { u64::from(A::read::<u32>(output, offset!(dev_ifindex))) },
            device: if input.is_null() { output } else { input },
            ..Spot::new(hook)
        })
    }
}
