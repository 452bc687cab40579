//! What the hop counters share: one definition of keys and values for both sides.

use crate::Hook;

/// Hooks of devices: their numbers are the first.
pub const DEVICE_HOOKS: usize = 4;

/// Devices that have a place of their own, found without searching; others are in a table. A power of two.
pub const HOP_DEVICES: u32 = 1024;

/// Bits of a [`HopDevice::owner`] that are the device's index.
const INDEX_BITS: u32 = 24;

/// Whose a place is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct HopDevice {
    /// See [`HopKey::owner`]; 0 while it is nobody's.
    pub owner: u64,
    /// Name of the device when it was first counted, padded with zero bytes.
    pub name: [u64; 2],
}

/// What one CPU counted of a device's packets at a hook.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct HopRow {
    /// Packets, as the stack hands them on: a large one that is cut up later is one.
    pub packets: u64,
    /// Their bytes, link-layer header included.
    pub bytes: u64,
    /// Address of the packet's skb, of the last one.
    pub skb: u64,
    /// Packets that are let go before one is timed.
    pub countdown: u64,
}

/// Under what a packet that passes a hook is counted.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HopKey {
    /// `net.net_cookie` of the device's namespace: unlike its inode it is never given out again.
    pub cookie: u64,
    /// Index of the device in its namespace; 0 for what a namespace did as a whole.
    pub ifindex: u32,
    /// Number of the [`Hook`].
    pub hook: u32,
}

impl HopKey {
    /// The device in one word; 0 if its numbers are too great for that.
    #[inline(always)]
    pub const fn owner(&self) -> u64 {
        let fits = self.cookie >> (u64::BITS - INDEX_BITS) == 0 && self.ifindex >> INDEX_BITS == 0;
        if fits { self.cookie << INDEX_BITS | self.ifindex as u64 } else { 0 }
    }

    /// The key of a device that is in one word.
    #[must_use]
    pub const fn of_owner(owner: u64, hook: Hook) -> Self {
        let ifindex = owner as u32 & ((1 << INDEX_BITS) - 1);
        Self { cookie: owner >> INDEX_BITS, ifindex, hook: hook as u32 }
    }
}

/// The place that is an owner's, if nobody else has it.
#[inline(always)]
pub const fn hop_place(owner: u64) -> u32 {
    (owner.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - HOP_DEVICES.trailing_zeros())) as u32
}

/// The row of a place.
#[inline(always)]
pub const fn hop_row(place: u32, hook: u32) -> u32 {
    place * DEVICE_HOOKS as u32 + hook
}

/// What one CPU counted under a key.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct HopCounts {
    /// See [`HopRow::packets`].
    pub packets: u64,
    /// See [`HopRow::bytes`].
    pub bytes: u64,
    /// Name of the device when this CPU first counted it, padded with zero bytes; all zero on a CPU that never did.
    pub device: [u64; 2],
}

/// Rows the table has room for: up to four for each device that has no place of its own.
pub const HOP_ROWS: u32 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_one_word() {
        let key = HopKey { cookie: 4711, ifindex: 12, hook: Hook::NetifRx as u32 };
        assert_eq!(HopKey::of_owner(key.owner(), Hook::NetifRx), key);
        assert!(hop_place(key.owner()) < HOP_DEVICES);
        for (cookie, ifindex) in [(1 << 40, 1), (1, 1 << 24)] {
            assert_eq!(HopKey { cookie, ifindex, hook: 0 }.owner(), 0);
        }
        let hooks = [Hook::NetDevQueue, Hook::NetDevStartXmit, Hook::NetifRx, Hook::NetifReceiveSkb];
        assert_eq!(hooks.map(|hook| hook as usize), [0, 1, 2, DEVICE_HOOKS - 1]);
    }
}
