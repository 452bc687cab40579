//! Atomic additions. The compiler's own are not there for this target: it has no compare-and-swap in all its versions.

use core::arch::asm;

/// Adds to `*value`.
///
/// # Safety
/// `value` is aligned and writable.
#[inline(always)]
pub unsafe fn add(value: *mut u64, number: u64) {
    // SAFETY: as the caller vouches.
    unsafe {
        asm!(
            "lock *(u64 *)({value} + 0) += {number}",
            value = in(reg) value,
            number = in(reg) number,
            options(nostack, preserves_flags),
        );
    }
}

/// Adds to `*value` and returns what it was before (`BPF_FETCH`, 5.12).
///
/// # Safety
/// `value` is aligned and writable.
#[inline(always)]
pub unsafe fn fetch_add(value: *mut u64, number: u64) -> u64 {
    let mut before = number;
    // SAFETY: as the caller vouches.
    unsafe {
        asm!(
            "{number} = atomic_fetch_add((u64 *)({value} + 0), {number})",
            value = in(reg) value,
            number = inout(reg) before,
            options(nostack, preserves_flags),
        );
    }
    before
}
