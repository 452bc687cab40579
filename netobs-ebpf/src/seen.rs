//! A quick "nothing is being followed", so that packets of no interest cost no map look-up while no packet of interest
//! comes along.

use core::cell::UnsafeCell;

use aya_ebpf::helpers::bpf_jiffies64;

/// In jiffies: 30 s at 1000 Hz, 300 s at 100 Hz. No packet stays in this machine for longer, not even one that waits for
/// a neighbour to answer.
const LONGEST_STAY: u64 = 30_000;

/// When something last happened, in jiffies; 0 if it never did. Any CPU may write it: the BPF target has no atomic load,
/// but an aligned word is read and written whole.
#[repr(transparent)]
pub struct Time(UnsafeCell<u64>);

// SAFETY: see above; which of two writers wins does not matter.
unsafe impl Sync for Time {}

impl Time {
    pub const NEVER: Self = Self(UnsafeCell::new(0));

    /// It happened.
    #[inline(always)]
    pub fn note(&self) {
        // SAFETY: see above; the helper has no preconditions.
        unsafe { self.0.get().write_volatile(bpf_jiffies64()) };
    }

    /// Whether it happened so lately that its packet may still be there.
    #[inline(always)]
    pub fn is_lately(&self) -> bool {
        // SAFETY: see above; volatile because other CPUs write it.
        let last = unsafe { self.0.get().read_volatile() };
        // SAFETY: the helper has no preconditions.
        last != 0 && unsafe { bpf_jiffies64() }.wrapping_sub(last) < LONGEST_STAY
    }
}

/// When an address was last remembered.
#[unsafe(no_mangle)]
static LAST: Time = Time::NEVER;

#[inline(always)]
pub fn is_anything_followed() -> bool {
    LAST.is_lately()
}

#[inline(always)]
pub fn note() {
    LAST.note();
}
