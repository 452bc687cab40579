//! A packet that waits for a neighbour.

/// `NUD_*` of `<linux/neighbour.h>`: what the kernel knows of a neighbour.
pub mod nud {
    /// Asked for, and not answered yet.
    pub const INCOMPLETE: u8 = 0x01;
    /// Asked for, and not answered at all.
    pub const FAILED: u8 = 0x20;
    /// Its link-layer address is known: `REACHABLE`, `STALE`, `DELAY`, `PROBE`, `NOARP`, `PERMANENT`.
    pub const VALID: u8 = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;
}

/// One packet and the neighbour whose link-layer address it needs, when it begins to wait or ends to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Wait {
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub time: u64,
    /// The packet's identity.
    pub packet: u64,
    /// When it began to wait, or 0 if that is not known.
    pub since: u64,
    /// Inode number of the neighbour's network namespace.
    pub netns: u32,
    /// Index of the device that the neighbour is behind.
    pub ifindex: u32,
    /// That device's name as in `net_device.name`.
    pub device: [u64; 2],
    /// The neighbour's address in network order; IPv4 in the first word.
    pub address: [u32; 4],
    /// Its link-layer address, as much of it as there is room for.
    pub link_address: [u8; 8],
    /// How often it was asked so far, or 0 if that is not known.
    pub probes: u32,
    /// Number of the [`Hook`](crate::Hook): `NeighEventSendDone` where it begins to wait, `NeighUpdate` where it is sent
    /// because the neighbour is known now, `KfreeSkb` where it is thrown away.
    pub hook: u8,
    /// `AF_*` of the address.
    pub family: u8,
    /// The neighbour's state, see [`nud`].
    pub state: u8,
    /// 1 if the neighbour's entry has been removed.
    pub is_dead: u8,
    /// How long the link-layer address is.
    pub link_address_length: u8,
    /// Keeps the struct free of padding, and its length from being that of a [`Call`](crate::Call).
    pub reserved: [u8; 7],
}
