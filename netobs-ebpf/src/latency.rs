//! What the timing of packets from hook to hook shares: one definition of bounds and values for both sides.

use crate::hops::DEVICE_HOOKS;

/// Upper bounds of the buckets, in nanoseconds. What is above the last is in one more.
pub const LATENCY_BOUNDS: [u64; 20] = [
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
];

/// Buckets of a histogram.
pub const LATENCY_BUCKETS: usize = LATENCY_BOUNDS.len() + 1;

/// One packet out of so many is timed, at random.
pub const LATENCY_SAMPLE: u64 = 64;

/// A step that takes longer than this, in nanoseconds, is taken for two packets that had the same memory.
pub const LATENCY_LIMIT: u64 = 4_000_000_000;

/// Packets that may be timed at once. A power of two.
pub const LATENCY_SLOTS: u32 = 256;

/// Histograms: one for each pair of hooks.
pub const LATENCY_ROWS: u32 = (DEVICE_HOOKS * DEVICE_HOOKS) as u32;

/// The histogram of the steps from one hook to another.
#[inline(always)]
pub const fn latency_row(from: u32, to: u32) -> u32 {
    from * DEVICE_HOOKS as u32 + to
}

/// What one CPU timed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// Nanoseconds, over all steps.
    pub sum: u64,
    /// Steps, by bucket.
    pub buckets: [u64; LATENCY_BUCKETS],
}

impl Latency {
    /// Nothing.
    pub const NONE: Self = Self { sum: 0, buckets: [0; LATENCY_BUCKETS] };

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.sum += other.sum;
        for (bucket, more) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket += more;
        }
        self
    }

    /// Steps that were timed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// A packet that is being timed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct LatencySlot {
    /// Address of its skb; 0 for none.
    pub skb: u64,
    /// `CLOCK_MONOTONIC` in nanoseconds, at the hook where it was seen last.
    pub time: u64,
    /// What neither NAT nor a router changes about it.
    pub fingerprint: u64,
    /// The hook, and a sum of all the rest: two CPUs may be writing at once.
    pub seal: u64,
}
