//! A quick "nothing is being followed", so that packets of no interest cost no map look-up while no packet of interest
//! comes along.

use core::cell::UnsafeCell;

use aya_ebpf::helpers::bpf_jiffies64;

/// In jiffies: 30 s at 1000 Hz, 300 s at 100 Hz. No packet stays in this machine for longer, not even one that waits for
/// a neighbour to answer.
const LONGEST_STAY: u64 = 30_000;

/// A time that any CPU may write. The BPF target has no atomic load; an aligned word is read and written whole.
#[repr(transparent)]
struct Time(UnsafeCell<u64>);

// SAFETY: see above; which of two writers wins does not matter.
unsafe impl Sync for Time {}

/// When an address was last remembered; 0 if none ever was.
#[unsafe(no_mangle)]
static LAST: Time = Time(UnsafeCell::new(0));

#[inline(always)]
pub fn is_anything_followed() -> bool {
    // SAFETY: see `Time`; volatile because other CPUs write it.
    let last = unsafe { LAST.0.get().read_volatile() };
    // SAFETY: the helper has no preconditions.
    last != 0 && unsafe { bpf_jiffies64() }.wrapping_sub(last) < LONGEST_STAY
}

#[inline(always)]
pub fn note() {
    // SAFETY: see `Time`; the helper has no preconditions.
    unsafe { LAST.0.get().write_volatile(bpf_jiffies64()) };
}
