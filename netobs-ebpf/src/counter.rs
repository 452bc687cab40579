//! What the programs count of themselves, per CPU and per hook, so that nothing is lost silently.

use crate::Hook;

/// What is counted.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Events that were due: emitted = decoded + lost in the ring.
    Emitted,
    /// Events for which the ring buffer had no room.
    LostRing,
    /// Packets that matched but could not be followed: the identity map took no new entry.
    LostTracking,
    /// Packets that matched but were let go because the ring buffer was already filling up: following them would have
    /// cost events of the packets already followed.
    Skipped,
}

/// Functions that have counters of their own: [`Call::site`](crate::Call::site) is smaller.
pub const SITES: usize = 128;

/// How many sets of counters there are.
pub const SLOTS: usize = Hook::ALL.len() + SITES;

/// Where the counters of a hook are, or of a site of [`Hook::Function`].
#[inline(always)]
pub const fn slot(hook: Hook, site: u8) -> u32 {
    if matches!(hook, Hook::Function) { Hook::ALL.len() as u32 + site as u32 } else { hook as u32 }
}

/// One hook's counters on one CPU, indexed by [`Counter`].
pub type Counters = [u64; 4];
