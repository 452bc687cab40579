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

/// Drops of one key on one CPU: what the first program counted, and what the second one counted in its stead. Each has
/// a word of its own, since the second may run in the middle of the first.
pub type DropCounts = [u64; 2];

/// What one CPU keeps beside the table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct DropState {
    /// The packet that the first program saw last.
    pub last: u64,
    /// Drops that the second program found not to have been seen by the first.
    pub recovered: u64,
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
    /// Offset of `task_struct.stack`, or [`MISSING`].
    pub task_stack: u32,
    /// Size of a task's kernel stack in bytes (`THREAD_SIZE`).
    pub stack_bytes: u32,
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
        task_stack: MISSING,
        stack_bytes: 0,
        coarse: 0,
        reserved: 0,
    };
}
