//! What the hop counters share: one definition of keys and values for both sides.

/// Under what a packet that passes a hook is counted.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HopKey {
    /// `net.net_cookie` of the device's namespace: unlike its inode it is never given out again.
    pub cookie: u64,
    /// Index of the device in its namespace; 0 for what a namespace did as a whole.
    pub ifindex: u32,
    /// Number of the [`Hook`](crate::Hook).
    pub hook: u32,
}

/// What one CPU counted under a key.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct HopCounts {
    /// Packets, as the stack hands them on: a large one that is cut up later is one.
    pub packets: u64,
    /// Their bytes, link-layer header included.
    pub bytes: u64,
    /// Name of the device when this CPU first counted it, padded with zero bytes; all zero on a CPU that never did.
    pub device: [u64; 2],
}

/// Rows the table has room for: up to four for each device.
pub const HOP_ROWS: u32 = 65_536;
