//! The eBPF programs: one per hook, all of them the same few steps in `observe`.
#![no_std]
#![no_main]
// The filter's placeholders are padded, and counters are added to, in assembly.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

mod access;
mod atomic;
mod bridge;
mod counters;
mod counting;
mod current;
mod drop_counter;
mod early;
mod filter;
mod fingerprint;
mod follow;
mod hop_counter;
mod identity;
mod note;
mod observe;
mod packet;
mod programs;
mod record;
mod rejected;
mod sample;
mod seen;
mod waiting;

/// The programs neither index nor divide unchecked; the compiler still wants somewhere to go.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// tp_btf and `bpf_probe_read_kernel` are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
