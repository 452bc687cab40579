//! What the drop counters share: one definition of keys, values and settings for both sides.

use crate::{Conditions, MISSING};

/// Under what a drop is counted.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DropKey {
    /// Return address of the call that freed the packet.
    pub location: u64,
    /// Device name, padded with zero bytes as in `net_device.name`; zero without a device.
    pub device: [u64; 2],
    /// `net.net_cookie` of the namespace: unlike its inode it is never given out again. 0 if there is none.
    pub cookie: u64,
    /// `enum skb_drop_reason`, its upper half the subsystem that numbers its own.
    pub reason: u32,
    /// Inode number of the network namespace, or 0 if the packet has neither device nor socket.
    pub netns: u32,
    /// Index of the device in its namespace, or 0.
    pub ifindex: u32,
    /// `skb->protocol`: the Ethernet type in host order, or 0.
    pub ethertype: u16,
    /// The protocol above IPv4 or IPv6, behind at most one extension header; else 0.
    pub protocol: u8,
    /// Keeps the struct free of padding.
    pub reserved: u8,
}

/// Programs that count drops, each what those before it were not run for.
pub const DROP_PROGRAMS: usize = 3;

/// Drops of one key on one CPU, by the program that counted them. Each has a word of its own, since one may run in the
/// middle of another.
pub type DropCounts = [u64; DROP_PROGRAMS];

/// Sets of a CPU's notes of which calls were counted, and places in each.
pub const NOTE_SETS: usize = 32;
/// See above.
pub const NOTE_WAYS: usize = 4;

/// What one CPU keeps beside the table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct DropState {
    /// Calls of the tracepoint that a program counted and the last has not yet come to, by where their arguments
    /// lie: that is on the stack of whoever drops, and no two calls under way have the same place. Each program but the
    /// last has its own, since a later one may run in the middle of an earlier one's noting.
    pub noted: [[[u64; NOTE_WAYS]; NOTE_SETS]; DROP_PROGRAMS - 1],
    /// The way of a full set that is taken next, by program.
    pub next_way: [u64; DROP_PROGRAMS - 1],
    /// Where the arguments lie, by program, while it finds out.
    pub arguments: DropCounts,
    /// Drops that a later program found not to have been counted yet, by program; the first finds none.
    pub recovered: DropCounts,
    /// Drops that matched and found no place in the table, by program.
    pub overflow: DropCounts,
}

/// Rows the table has room for unless user space asks for another number.
pub const DROP_ROWS: u32 = 16_384;

/// What user space tells the programs before they are loaded.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DropSettings {
    /// Which packets are counted.
    pub conditions: Conditions,
    /// Offset of `net.net_cookie`, or [`MISSING`].
    pub net_cookie: u32,
    /// 1 if the tracepoint names the receiving socket in a fourth argument (6.11 and later).
    pub has_receiver: u32,
    /// 1 if device and protocol are not told apart: fewer rows.
    pub coarse: u32,
    /// Keeps the struct free of padding.
    pub reserved: u32,
}

impl DropSettings {
    /// Every packet, on a kernel of which nothing is known.
    pub const NONE: Self = Self {
        conditions: Conditions { netns: 0, reserved: 0, device: [0; 2] },
        net_cookie: MISSING,
        has_receiver: 0,
        coarse: 0,
        reserved: 0,
    };
}
