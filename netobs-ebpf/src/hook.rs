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
    /// `NF_INET_PRE_ROUTING`: before the stack decides whether a received packet is for this namespace.
    NfPrerouting,
    /// `NF_INET_LOCAL_IN`: on its way to a socket of this namespace.
    NfInput,
    /// `NF_INET_FORWARD`: on its way from one device to another.
    NfForward,
    /// `NF_INET_LOCAL_OUT`: made by a socket or the kernel, with a route already.
    NfOutput,
    /// `NF_INET_POST_ROUTING`: about to leave by a device.
    NfPostrouting,
    /// `fib_table_lookup`: an IPv4 routing table was asked for the packet's own way, or for the way back to its sender.
    FibTableLookup,
    /// `fib6_table_lookup`: the same in IPv6.
    Fib6TableLookup,
    /// `__icmp_send`: the kernel answered the packet with an ICMP error.
    IcmpSend,
    /// `icmp6_send`: the same in ICMPv6.
    Icmp6Send,
    /// `___neigh_create`: somebody on a link is to be found, of whom nothing was known.
    NeighCreate,
    /// `__neigh_event_send`: a packet for a neighbour whose link-layer address is not known was put into its queue.
    NeighEventSendDone,
    /// `__neigh_update`: a neighbour's address is to be changed, and what waited for it to be sent.
    NeighUpdate,
    /// The end of the same.
    NeighUpdateDone,
    /// One of the kernel functions a packet passes: [`Call::site`](crate::Call::site) says which.
    Function,
}

impl Hook {
    /// Every hook, in the order of their numbers.
    pub const ALL: [Self; 24] = [
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
        Self::NfPrerouting,
        Self::NfInput,
        Self::NfForward,
        Self::NfOutput,
        Self::NfPostrouting,
        Self::FibTableLookup,
        Self::Fib6TableLookup,
        Self::IcmpSend,
        Self::Icmp6Send,
        Self::NeighCreate,
        Self::NeighEventSendDone,
        Self::NeighUpdate,
        Self::NeighUpdateDone,
        Self::Function,
    ];

    /// The netfilter hook with this number (`enum nf_inet_hooks`, part of the kernel's user-space interface).
    #[inline(always)]
    pub const fn of_netfilter(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::NfPrerouting,
            1 => Self::NfInput,
            2 => Self::NfForward,
            3 => Self::NfOutput,
            4 => Self::NfPostrouting,
            _ => return None,
        })
    }

    /// Whether it is one of netfilter's five.
    #[inline(always)]
    pub const fn is_netfilter(self) -> bool {
        matches!(self, Self::NfPrerouting | Self::NfInput | Self::NfForward | Self::NfOutput | Self::NfPostrouting)
    }

    /// The hook with this number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether the packet is asked about, or worked on, by a function called from one of the places it passes.
    #[inline(always)]
    pub const fn is_call(self) -> bool {
        matches!(self, Self::Function | Self::FibTableLookup | Self::Fib6TableLookup | Self::IcmpSend | Self::Icmp6Send)
    }

    /// Whether the packet is on its way out of a device here.
    #[inline(always)]
    pub const fn is_transmit(self) -> bool {
        matches!(
            self,
            Self::NetDevQueue
                | Self::NetDevStartXmit
                | Self::TcEgress
                | Self::NfOutput
                | Self::NfPostrouting
                | Self::NeighEventSendDone
        )
    }

    /// Whether the packet is on its way from a device into the stack here.
    #[inline(always)]
    pub const fn is_receive(self) -> bool {
        matches!(self, Self::NetifRx | Self::NetifReceiveSkb | Self::TcIngress | Self::NfPrerouting | Self::NfInput)
    }

    /// Whether the kernel gives the packet up here.
    #[inline(always)]
    pub const fn is_free(self) -> bool {
        matches!(self, Self::KfreeSkb | Self::ConsumeSkb)
    }

    /// Whether a packet that nobody has seen yet may be seen here first. Elsewhere only packets already followed count.
    #[inline(always)]
    pub const fn may_be_first(self) -> bool {
        !matches!(
            self,
            Self::ConsumeSkb
                | Self::SkbCopyDatagram
                | Self::TcpProbe
                | Self::NfPrerouting
                | Self::NfInput
                | Self::NfForward
                | Self::NfPostrouting
                | Self::FibTableLookup
                | Self::Fib6TableLookup
                | Self::IcmpSend
                | Self::Icmp6Send
                | Self::NeighCreate
                | Self::NeighUpdate
                | Self::NeighUpdateDone
                | Self::Function
        )
    }
}
