//! The record of one packet at one hook.

use crate::HEADER_BYTES;

/// Bits of [`Event::flags`].
pub mod flags {
    /// The packet was not known before this event.
    pub const FIRST: u16 = 1;
    /// First event of a clone: `parent` is the packet whose data it shares.
    pub const CLONE: u16 = 1 << 1;
    /// First event of a TCP retransmission: `parent` is the packet that carried the data first.
    pub const RETRANSMIT: u16 = 1 << 2;
    /// What happened here happened to a copy of `packet` that was never seen on a device: a socket's own clone.
    pub const COPY: u16 = 1 << 3;
    /// `header` begins with the Ethernet header.
    pub const ETHERNET: u16 = 1 << 4;
    /// `conntrack` is filled.
    pub const CONNTRACK: u16 = 1 << 5;
    /// The sending socket still owns the packet.
    pub const OWNED: u16 = 1 << 6;
    /// The packet leaves the netfilter hook, accepted by everything that is registered there. Without it, it enters.
    pub const LEAVING: u16 = 1 << 7;
    /// `br_netfilter` made a bridged frame pass here.
    pub const BRIDGED: u16 = 1 << 8;
}

/// The conntrack entry a packet carries, as the kernel has it (`struct nf_conn`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Conntrack {
    /// `struct nf_conntrack_tuple` of the direction the flow began in: source address (16 bytes) and port (2, network
    /// order), layer 3 protocol (2), destination address (16) and port (2), layer 4 protocol (1), direction (1).
    pub orig: [u64; 5],
    /// The same of the direction the answer is expected in.
    pub reply: [u64; 5],
    /// `IPS_*` bits.
    pub status: u32,
    /// `ct mark`.
    pub mark: u32,
    /// Conntrack zone.
    pub zone: u16,
    /// `enum ip_conntrack_info`: how this packet relates to the entry.
    pub info: u8,
    /// Keeps the struct free of padding.
    pub reserved: [u8; 5],
}

/// One packet at one hook.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub time: u64,
    /// The packet's identity: the same at every hook it passes.
    pub packet: u64,
    /// The packet this one was made from, or 0.
    pub parent: u64,
    /// Where the kernel freed the packet: the return address the free was called from, or 0. At a netfilter hook: index
    /// of the device the packet is to leave by, or 0. Where an ICMP error is sent: its type and code, see
    /// [`icmp`](crate::icmp).
    pub location: u64,
    /// `enum skb_drop_reason` at [`Hook::KfreeSkb`](crate::Hook::KfreeSkb). Where an ICMP error is sent: its second word
    /// in host order, such as an MTU, or 0.
    pub reason: u32,
    /// Inode number of the network namespace, or 0 if the packet has neither device nor socket.
    pub netns: u32,
    /// Index of the device in its namespace, or 0.
    pub ifindex: u32,
    /// `skb->len`, plus the Ethernet header where it has been pulled already.
    pub length: u32,
    /// `skb->mark`.
    pub mark: u32,
    /// `AF_*` of the socket that owns the packet, or 0.
    pub family: u16,
    /// See [`flags`].
    pub flags: u16,
    /// `skb->protocol`: the Ethernet type in host order.
    pub protocol: u16,
    /// Offset of the network header within `header`.
    pub network_offset: u8,
    /// How many bytes of `header` are the packet's.
    pub captured: u8,
    /// Number of the [`Hook`](crate::Hook).
    pub hook: u8,
    /// `PACKET_*`: for this host, broadcast, multicast, for another host, outgoing.
    pub packet_type: u8,
    /// Number of the [`Fdb`](crate::Fdb): what the bridge knows of the address that the packet is for.
    pub fdb: u8,
    /// Keeps the struct free of padding.
    pub reserved: u8,
    /// The device's name as in `net_device.name`.
    pub device: [u64; 2],
    /// Valid with [`flags::CONNTRACK`].
    pub conntrack: Conntrack,
    /// The first bytes of the packet; at a routing lookup a [`Lookup`](crate::Lookup) instead.
    pub header: [u64; HEADER_BYTES / 8],
}
