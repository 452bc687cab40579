//! Numbers that must not be mixed up.

use std::fmt;

/// A packet's identity within one run of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PacketId(pub u64);

impl fmt::Display for PacketId {
    /// CPU, hook and count, as [`netobs_ebpf`]'s programs put them together.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}.{:x}", self.0 >> 48, (self.0 >> 40) & 0xff, self.0 & 0xff_ffff_ffff)
    }
}

/// `enum skb_drop_reason`, whose numbers differ from kernel to kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DropReason(pub u32);

/// `net_device.name`: at most 15 bytes that a stranger chose.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceName(pub [u8; 16]);

impl DeviceName {
    /// From the two words in which the programs hand it over.
    pub fn of_words(words: [u64; 2]) -> Self {
        let [first, second] = words.map(u64::to_ne_bytes);
        let mut name = [0; 16];
        for (to, from) in name.iter_mut().zip(first.iter().chain(&second)) {
            *to = *from;
        }
        Self(name)
    }

    /// The name, with bytes that are not UTF-8 replaced. Not made safe for a terminal.
    pub fn to_string_lossy(self) -> String {
        let name = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }
}

impl fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string_lossy())
    }
}
