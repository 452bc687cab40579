//! The eBPF programs.
#![no_std]
#![no_main]
// The filter's placeholders are padded by the assembler.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

mod filter;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
