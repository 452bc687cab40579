//! The record layouts, hook numbers and map keys that kernel and user space share: one definition, both sides.
//!
//! The library has no dependencies. The programs are in the binary of this package.
#![no_std]

mod call;
mod condition;
mod counter;
mod drops;
mod event;
mod fdb;
mod hook;
mod hops;
pub mod icmp;
mod latency;
mod layout;
mod lookup;
mod mib;
mod nat;
mod wait;

pub use call::{CALL_BYTES, Call, Cookie};
pub use condition::Conditions;
pub use counter::{Counter, Counters, SITES, SLOTS, slot};
pub use drops::{DROP_PROGRAMS, DROP_ROWS, DropCounts, DropKey, DropSettings, DropState, NOTE_SETS, NOTE_WAYS};
pub use event::{Conntrack, Event, flags};
pub use fdb::Fdb;
pub use hook::Hook;
pub use hops::{DEVICE_HOOKS, HOP_DEVICES, HOP_ROWS, HopCounts, HopDevice, HopKey, HopRow, hop_place, hop_row};
pub use latency::{
    LATENCY_BOUNDS, LATENCY_BUCKETS, LATENCY_LIMIT, LATENCY_ROWS, LATENCY_SAMPLE, LATENCY_SLOTS, Latency, LatencySlot,
    latency_row,
};
pub use layout::{Bits, Layout, MISSING};
pub use lookup::Lookup;
pub use mib::{MIB_CPUS, Mib, MibSettings};
pub use nat::{NAT_ROWS, NatCounts, NatSettings};
pub use wait::{Wait, nud};

/// Bytes of packet that the filter sees and an event carries: room for Ethernet, IPv6 with an extension header, TCP
/// with options, or a VXLAN outer and inner header.
pub const HEADER_BYTES: usize = 128;
