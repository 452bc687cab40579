//! What the programs count of themselves, per CPU and per hook, so that nothing is lost silently.

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

/// One hook's counters on one CPU, indexed by [`Counter`].
pub type Counters = [u64; 4];
