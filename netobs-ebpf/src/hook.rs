//! Where a packet was seen.

/// The place in the kernel an event was recorded at. The number is the index of the hook's row in every table.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// `__dev_queue_xmit`: handed to the device for sending, before any queueing discipline.
    NetDevQueue,
    /// `xmit_one`: handed to the device's driver.
    NetDevStartXmit,
    /// `netif_rx_internal`: taken in by a software device (veth, loopback), before the backlog queue.
    NetifRx,
    /// `__netif_receive_skb_core`: enters the network stack of the device's namespace.
    NetifReceiveSkb,
    /// tc classifier at a device's ingress.
    TcIngress,
    /// tc classifier at a device's egress.
    TcEgress,
    /// `kfree_skb` and its callers: the kernel threw the packet away and says why.
    KfreeSkb,
    /// `consume_skb`: the packet was freed after it had served its purpose.
    ConsumeSkb,
    /// `__skb_datagram_iter`: a process read the packet's payload from a socket.
    SkbCopyDatagram,
    /// `tcp_rcv_established`: an established TCP connection took the segment.
    TcpProbe,
}

impl Hook {
    /// Every hook, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::NetDevQueue,
        Self::NetDevStartXmit,
        Self::NetifRx,
        Self::NetifReceiveSkb,
        Self::TcIngress,
        Self::TcEgress,
        Self::KfreeSkb,
        Self::ConsumeSkb,
        Self::SkbCopyDatagram,
        Self::TcpProbe,
    ];

    /// The hook with this number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether the packet is on its way out of a device here.
    #[inline(always)]
    pub const fn is_transmit(self) -> bool {
        matches!(self, Self::NetDevQueue | Self::NetDevStartXmit | Self::TcEgress)
    }

    /// Whether the packet is on its way from a device into the stack here.
    #[inline(always)]
    pub const fn is_receive(self) -> bool {
        matches!(self, Self::NetifRx | Self::NetifReceiveSkb | Self::TcIngress)
    }

    /// Whether the kernel gives the packet up here.
    #[inline(always)]
    pub const fn is_free(self) -> bool {
        matches!(self, Self::KfreeSkb | Self::ConsumeSkb)
    }

    /// Whether a packet that nobody has seen yet may be seen here first. Elsewhere only packets already followed count.
    #[inline(always)]
    pub const fn may_be_first(self) -> bool {
        !matches!(self, Self::ConsumeSkb | Self::SkbCopyDatagram | Self::TcpProbe)
    }
}
