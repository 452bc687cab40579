//! The typed conditions beside the pcap filter.

/// What a packet must fulfil where it is first seen. Zero means "any". Once followed, a packet is followed everywhere.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions {
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Keeps the struct free of padding.
    pub reserved: u32,
    /// Device name, padded with zero bytes as in `net_device.name`.
    pub device: [u64; 2],
}
