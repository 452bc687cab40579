//! The entry of a kernel function that a packet is handed to.

/// Bytes of packet that a [`Call`] carries, from the network header on: addresses and ports of IPv4 and IPv6.
pub const CALL_BYTES: usize = 48;

/// One packet at the entry of one function: what a function adds to a journey, in a quarter of an
/// [`Event`](crate::Event).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub time: u64,
    /// The packet's identity.
    pub packet: u64,
    /// Inode number of the network namespace, or 0 if the packet has neither device nor socket.
    pub netns: u32,
    /// Index of the device in its namespace, or 0.
    pub ifindex: u32,
    /// `skb->len`, plus the Ethernet header where it has been pulled already; 0 if `is_early`.
    pub length: u32,
    /// `skb->protocol`: the Ethernet type in host order.
    pub protocol: u16,
    /// Which function: the site of its row.
    pub site: u8,
    /// 1 if it was called before the packet's first event: its headers may not have been written then.
    pub is_early: u8,
    /// The first bytes of the network header; zeroes if `is_early`.
    pub header: [u64; CALL_BYTES / 8],
}

/// What the program is told about the function it is attached to (`bpf_get_attach_cookie`).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie(pub u64);

impl Cookie {
    const ARGUMENT: u32 = 8;
    const INDIRECT: u64 = 1 << 16;
    const BEGINS: u64 = 1 << 17;
    const MAY_BEGIN: u64 = 1 << 18;
    const ENDS: u64 = 1 << 19;

    /// Of a function whose packet is this argument, counted from 0.
    #[must_use]
    pub const fn new(site: u8, argument: u8) -> Self {
        Self(site as u64 | (argument as u64) << Self::ARGUMENT)
    }

    /// The argument points to a pointer to the packet.
    #[must_use]
    pub const fn indirect(self) -> Self {
        Self(self.0 | Self::INDIRECT)
    }

    /// A packet is made shortly before: whatever else had its address is gone.
    #[must_use]
    pub const fn beginning(self) -> Self {
        Self(self.0 | Self::BEGINS)
    }

    /// A packet that nobody has seen yet may have been made shortly before.
    #[must_use]
    pub const fn possibly_beginning(self) -> Self {
        Self(self.0 | Self::MAY_BEGIN)
    }

    /// A packet that is not followed by now will not be because of what came before.
    #[must_use]
    pub const fn ending(self) -> Self {
        Self(self.0 | Self::ENDS)
    }

    /// Which function.
    #[inline(always)]
    pub const fn site(self) -> u8 {
        self.0 as u8
    }

    /// Which argument the packet is.
    #[inline(always)]
    pub const fn argument(self) -> u8 {
        (self.0 >> Self::ARGUMENT) as u8
    }

    /// See [`Self::indirect`].
    #[inline(always)]
    pub const fn is_indirect(self) -> bool {
        self.0 & Self::INDIRECT != 0
    }

    /// See [`Self::beginning`].
    #[inline(always)]
    pub const fn begins(self) -> bool {
        self.0 & Self::BEGINS != 0
    }

    /// See [`Self::possibly_beginning`].
    #[inline(always)]
    pub const fn may_begin(self) -> bool {
        self.0 & Self::MAY_BEGIN != 0
    }

    /// See [`Self::ending`].
    #[inline(always)]
    pub const fn ends(self) -> bool {
        self.0 & Self::ENDS != 0
    }
}
