//! How an event says which ICMP error was sent.

/// The error was sent. Without it the kernel was about to, and may not send more than so many a second.
pub const SENT: u64 = 1 << 16;

/// An [`Event::location`](crate::Event::location).
#[inline(always)]
pub const fn pack(kind: u8, code: u8) -> u64 {
    (kind as u64) << 8 | code as u64
}

/// Type, code, and whether it was sent.
pub const fn unpack(location: u64) -> (u8, u8, bool) {
    ((location >> 8) as u8, location as u8, location & SENT != 0)
}
