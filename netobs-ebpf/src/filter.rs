//! Placeholders for the user's filter.
//!
//! User space replaces the body of both functions inside the object, before it is loaded, by a converted pcap program,
//! and leaves the rest of it to another symbol, so that it is not loaded. As they stand here they match everything.
//!
//! They are exported, so that the compiler can neither inline nor specialise them nor leave an argument out, and the
//! kernel verifies each once by itself instead of on every path to a call. What it knows of the packet then is its type:
//! a pointer to an array of that size, possibly null.

use core::arch::asm;
use core::mem::MaybeUninit;

use netobs_ebpf::HEADER_BYTES;

use crate::packet::{Extent, Header};

/// Instructions in each placeholder's padding. A converted filter has at most a few more.
///
/// The verifier keeps one state for every branch not yet followed, 8192 at the most in a program
/// (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`). About every second instruction of a filter is a branch, so a longer one could fail
/// there.
macro_rules! padding {
    () => {
        4089
    };
}

/// Branches over the padding: the verifier drops it, and it costs nothing at run time.
macro_rules! placeholder {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[inline(never)]
        #[unsafe(no_mangle)]
        #[expect(named_asm_labels, reason = "the symbol is there for user space to find")]
        pub extern "C" fn $name(packet: *const [u8; HEADER_BYTES], captured: u32, length: u32) -> u32 {
            let mut verdict = 1u64;
            // SAFETY: sets its output and touches neither memory nor the inputs, which are only named so that they
            // stay arguments.
            unsafe {
                asm!(
                    concat!(".type ", stringify!($name), "_rest,@function"),
                    "if {verdict} == 1 goto +{padding}",
                    concat!(stringify!($name), "_rest:"),
                    ".rept {padding}",
                    "{verdict} = 1",
                    ".endr",
                    padding = const padding!(),
                    verdict = inout(reg) verdict,
                    in("r1") packet,
                    in("r2") u64::from(captured),
                    in("r3") u64::from(length),
                    options(nomem, nostack, preserves_flags),
                );
            }
            verdict as u32
        }
    };
}

placeholder! {
    /// Whether a packet that starts with its Ethernet header matches: 0 if not, any other number if it does.
    ///
    /// `captured` of the bytes at `packet` are the packet's, `length` is how many it has in all. All bytes of the array
    /// must be readable and initialised.
    filter_l2
}

placeholder! {
    /// Whether a packet that starts with its IP header matches, in the same way.
    filter_l3
}

/// Whether the user's filter wants this packet.
#[inline(always)]
pub fn matches_filter(extent: &Extent, header: &MaybeUninit<Header>) -> bool {
    // The filter never looks past `captured`, but the verifier wants all of it initialised: it was read from the kernel.
    let bytes = header.as_ptr().cast();
    let verdict = if extent.ethernet {
        filter_l2(bytes, extent.captured, extent.length)
    } else {
        filter_l3(bytes, extent.captured, extent.length)
    };
    verdict != 0
}
