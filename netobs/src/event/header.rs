//! The packet's own headers, read from its first bytes.

use std::net::IpAddr;

use etherparse::{
    EtherType, Icmpv4Slice, Icmpv6Slice, IpNumber, LaxNetSlice, LaxSlicedPacket, TcpOptionElement, TcpSlice,
    TransportSlice, UdpSlice,
};

use super::nested::Nested;

/// What the packet is, by the name pcap-filter has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proto {
    /// Internet Control Message Protocol.
    Icmp,
    /// ICMP for IPv6.
    Icmp6,
    /// Transmission Control Protocol.
    Tcp,
    /// User Datagram Protocol.
    Udp,
    /// Address Resolution Protocol.
    Arp,
    /// Another protocol over IPv4 or IPv6, by its number.
    Ip(u8),
    /// Another Ethernet type.
    Ethernet(u16),
}

impl Proto {
    /// The protocol that has this number above IPv4 or IPv6.
    pub fn of_ip(number: u8) -> Self {
        match IpNumber(number) {
            IpNumber::ICMP => Self::Icmp,
            IpNumber::IPV6_ICMP => Self::Icmp6,
            IpNumber::TCP => Self::Tcp,
            IpNumber::UDP => Self::Udp,
            IpNumber(other) => Self::Ip(other),
        }
    }

    /// The name used in JSON and text.
    pub fn name(self) -> String {
        match self {
            Self::Icmp => "icmp".into(),
            Self::Icmp6 => "icmp6".into(),
            Self::Tcp => "tcp".into(),
            Self::Udp => "udp".into(),
            Self::Arp => "arp".into(),
            Self::Ip(number) => {
                IpNumber(number).keyword_str().map_or_else(|| format!("ip-proto-{number}"), str::to_ascii_lowercase)
            }
            Self::Ethernet(number) => format!("ethertype-0x{number:04x}"),
        }
    }
}

/// Source and destination. Ports are `None` where the protocol has none, or the bytes were not captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Source address; `None` where the packet is neither IP nor ARP.
    pub src: Option<IpAddr>,
    /// Destination address.
    pub dst: Option<IpAddr>,
    /// Source port, host order.
    pub sport: Option<u16>,
    /// Destination port, host order.
    pub dport: Option<u16>,
}

impl Tuple {
    /// The other way round: the tuple of an answer.
    pub fn turned(self) -> Self {
        Self { src: self.dst, dst: self.src, sport: self.dport, dport: self.sport }
    }
}

/// Where a TCP segment belongs in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSegment {
    /// Sequence number of the first byte.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// FIN, SYN, RST, PSH, ACK, URG from the lowest bit on.
    pub flags: u8,
    /// Of a SYN: the largest segment that its sender wants to receive, in bytes without headers.
    pub mss: Option<u16>,
}

/// What a person wants to see of the protocol beyond addresses and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nothing more, or nothing more captured.
    None,
    /// ICMP or ICMPv6.
    Icmp {
        /// Message type.
        kind: u8,
        /// Message code.
        code: u8,
        /// Identifier and sequence number of an echo.
        echo: Option<(u16, u16)>,
    },
    /// TCP.
    Tcp(TcpSegment),
    /// ARP.
    Arp {
        /// 1 is a request, 2 a reply.
        operation: u16,
    },
}

/// The headers of one sighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Outermost protocol above IP.
    pub proto: Proto,
    /// Addresses and ports at this hop.
    pub tuple: Tuple,
    /// More of the protocol.
    pub detail: Detail,
}

impl Headers {
    /// Reads headers from `bytes`, the start of a packet, which may be cut short anywhere, and those of the packet inside
    /// if there is one.
    ///
    /// `ethernet` says whether an Ethernet header comes first; otherwise `ether_type` is what the kernel holds the
    /// packet for (`skb->protocol`).
    pub fn parse(bytes: &[u8], ethernet: bool, ether_type: u16) -> (Self, Option<Nested>) {
        let sliced = if ethernet {
            LaxSlicedPacket::from_ethernet(bytes).ok()
        } else {
            Some(LaxSlicedPacket::from_ether_type(EtherType(ether_type), bytes))
        };
        let nothing = Self {
            proto: Proto::Ethernet(ether_type),
            tuple: Tuple { src: None, dst: None, sport: None, dport: None },
            detail: Detail::None,
        };
        match sliced.as_ref().and_then(|sliced| Some((sliced, Self::of(sliced)?))) {
            Some((sliced, headers)) => (headers, Nested::find(sliced)),
            None => (nothing, None),
        }
    }

    /// The headers of a packet that is cut into slices already; `None` without addresses.
    pub(super) fn of(sliced: &LaxSlicedPacket<'_>) -> Option<Self> {
        let (proto, src, dst) = match sliced.net.as_ref()? {
            LaxNetSlice::Ipv4(ip) => (
                ip.payload_ip_number().0,
                IpAddr::V4(ip.header().source_addr()),
                IpAddr::V4(ip.header().destination_addr()),
            ),
            LaxNetSlice::Ipv6(ip) => (
                ip.payload().ip_number.0,
                IpAddr::V6(ip.header().source_addr()),
                IpAddr::V6(ip.header().destination_addr()),
            ),
            LaxNetSlice::Arp(arp) => return Some(Self::of_arp(arp)),
        };
        let (sport, dport, detail) = transport(sliced.transport.as_ref());
        Some(Self { proto: Proto::of_ip(proto), tuple: Tuple { src: Some(src), dst: Some(dst), sport, dport }, detail })
    }

    fn of_arp(arp: &etherparse::ArpPacketSlice<'_>) -> Self {
        let address = |bytes: &[u8]| <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
        Self {
            proto: Proto::Arp,
            tuple: Tuple {
                src: address(arp.sender_protocol_addr()),
                dst: address(arp.target_protocol_addr()),
                sport: None,
                dport: None,
            },
            detail: Detail::Arp { operation: arp.operation().0 },
        }
    }
}

fn transport(slice: Option<&TransportSlice<'_>>) -> (Option<u16>, Option<u16>, Detail) {
    match slice {
        Some(TransportSlice::Tcp(tcp)) => (Some(tcp.source_port()), Some(tcp.destination_port()), of_tcp(tcp)),
        Some(TransportSlice::Udp(udp)) => ports(udp),
        Some(TransportSlice::Icmpv4(icmp)) => (None, None, of_icmp(icmp)),
        Some(TransportSlice::Icmpv6(icmp)) => (None, None, of_icmp6(icmp)),
        Some(TransportSlice::Igmp(_)) | None => (None, None, Detail::None),
    }
}

fn ports(udp: &UdpSlice<'_>) -> (Option<u16>, Option<u16>, Detail) {
    (Some(udp.source_port()), Some(udp.destination_port()), Detail::None)
}

fn of_tcp(tcp: &TcpSlice<'_>) -> Detail {
    let bit = |set: bool, position: u8| u8::from(set) << position;
    Detail::Tcp(TcpSegment {
        seq: tcp.sequence_number(),
        ack: tcp.acknowledgment_number(),
        flags: bit(tcp.fin(), 0)
            | bit(tcp.syn(), 1)
            | bit(tcp.rst(), 2)
            | bit(tcp.psh(), 3)
            | bit(tcp.ack(), 4)
            | bit(tcp.urg(), 5),
        mss: if tcp.syn() { mss(tcp) } else { None },
    })
}

/// RFC 9293: only a SYN has this option. One that cannot be read ends the list.
fn mss(tcp: &TcpSlice<'_>) -> Option<u16> {
    tcp.options_iterator().map_while(Result::ok).find_map(|option| match option {
        TcpOptionElement::MaximumSegmentSize(size) => Some(size),
        _ => None,
    })
}

fn echo(is_echo: bool, [a, b, c, d]: [u8; 4]) -> Option<(u16, u16)> {
    is_echo.then(|| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

fn of_icmp(icmp: &Icmpv4Slice<'_>) -> Detail {
    let kind = icmp.type_u8();
    Detail::Icmp { kind, code: icmp.code_u8(), echo: echo(kind == 0 || kind == 8, icmp.bytes5to8()) }
}

fn of_icmp6(icmp: &Icmpv6Slice<'_>) -> Detail {
    let kind = icmp.type_u8();
    Detail::Icmp { kind, code: icmp.code_u8(), echo: echo(kind == 128 || kind == 129, icmp.bytes5to8()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn tcp_syn() -> Vec<u8> {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 40, 0, 2], [10, 40, 0, 3], 64)
            .tcp(4000, 80, 7, 1000)
            .options(&[TcpOptionElement::Noop, TcpOptionElement::MaximumSegmentSize(1460)])
            .unwrap()
            .syn();
        let mut bytes = Vec::new();
        builder.write(&mut bytes, &[0; 20]).unwrap();
        bytes
    }

    #[test]
    fn reads_a_tcp_segment_with_and_without_its_ethernet_header() {
        let bytes = tcp_syn();
        let (whole, nested) = Headers::parse(&bytes, true, 0x0800);
        assert_eq!(whole.proto, Proto::Tcp);
        assert_eq!((whole.tuple.sport, whole.tuple.dport), (Some(4000), Some(80)));
        assert_eq!(whole.detail, Detail::Tcp(TcpSegment { seq: 7, ack: 0, flags: 2, mss: Some(1460) }));
        assert_eq!((whole, None), Headers::parse(&bytes[14..], false, 0x0800));
        assert_eq!(nested, None);
    }

    #[test]
    fn a_packet_cut_short_anywhere_gives_what_is_there_and_no_more() {
        let bytes = tcp_syn();
        for end in 0..bytes.len() {
            let (headers, _) = Headers::parse(&bytes[..end], true, 0x0800);
            assert_eq!(headers.tuple.src.is_some(), end >= 34, "{end} bytes: {headers:?}");
            // With its options the TCP header is 28 bytes long.
            assert_eq!(headers.tuple.sport.is_some(), end >= 62, "{end} bytes: {headers:?}");
        }
    }

    #[test]
    fn random_bytes_are_never_a_panic() {
        let mut state = 1_u64;
        for length in (0..128).cycle().take(20_000) {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect();
            Headers::parse(&bytes, state & 1 == 0, [0x0800, 0x86dd, 0x0806][length % 3]);
        }
    }
}
