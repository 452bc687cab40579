//! The record layouts, hook numbers and map keys that kernel and user space share.
#![no_std]

/// Bytes of packet that the filter sees and an event carries: room for Ethernet, IPv6 with an extension header, TCP
/// with options, or a VXLAN outer and inner header.
pub const HEADER_BYTES: usize = 128;
