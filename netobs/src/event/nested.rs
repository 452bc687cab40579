//! A packet inside the packet: what a tunnel carries, what an ICMP error is about.

use etherparse::{
    EtherType, Icmpv4Slice, Icmpv6Slice, IpNumber, LaxNetSlice, LaxSlicedPacket, TransportSlice, UdpSlice,
};

use super::header::{Headers, Proto, Tuple};

/// The port that IANA gave to VXLAN, and the one that Linux had used before and still takes unless told otherwise
/// (`vxlan_core.c`, module parameter `udp_port`).
const VXLAN_PORTS: [u16; 2] = [4789, 8472];
/// Length of a VXLAN header.
const VXLAN_HEADER: usize = 8;
/// `VXLAN_HF_VNI`: the header's only flag that must be set.
const VXLAN_HAS_VNI: u8 = 0x08;

/// Why there is a packet inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapper {
    /// A tunnel over UDP carries it.
    Vxlan {
        /// The network's identifier.
        vni: u32,
    },
    /// An ICMP or ICMPv6 error quotes the packet it is about.
    IcmpError {
        /// Of `fragmentation needed` and `packet too big`: the largest packet that would have passed, in bytes from the
        /// IP header on. 0 from routers older than RFC 1191.
        mtu: Option<u32>,
    },
}

/// The packet inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nested {
    /// What it is inside of.
    pub wrapper: Wrapper,
    /// Its own headers.
    pub headers: Headers,
}

impl Nested {
    /// Finds the inner packet of one that [`LaxSlicedPacket`] has read. `None` if there is none, or if too little of it
    /// was captured to know its addresses.
    pub(super) fn find(outer: &LaxSlicedPacket<'_>) -> Option<Self> {
        match outer.transport.as_ref()? {
            TransportSlice::Udp(udp) => Self::in_vxlan(udp),
            TransportSlice::Icmpv4(icmp) => Self::quoted(icmp),
            TransportSlice::Icmpv6(icmp) => Self::quoted6(icmp),
            TransportSlice::Tcp(_) | TransportSlice::Igmp(_) => None,
        }
    }

    fn in_vxlan(udp: &UdpSlice<'_>) -> Option<Self> {
        if !VXLAN_PORTS.contains(&udp.destination_port()) {
            return None;
        }
        let (header, frame) = udp.payload().split_at_checked(VXLAN_HEADER)?;
        let [flags, _, _, _, a, b, c, reserved] = <[u8; VXLAN_HEADER]>::try_from(header).ok()?;
        // Other protocols use these ports, too.
        if flags & VXLAN_HAS_VNI == 0 || reserved != 0 {
            return None;
        }
        let headers = inner(&LaxSlicedPacket::from_ethernet(frame).ok()?)?;
        Some(Self { wrapper: Wrapper::Vxlan { vni: u32::from_be_bytes([0, a, b, c]) }, headers })
    }

    /// RFC 792: unreachable, source quench, redirect, time exceeded and parameter problem quote what they are about.
    fn quoted(icmp: &Icmpv4Slice<'_>) -> Option<Self> {
        let (kind, code) = (icmp.type_u8(), icmp.code_u8());
        if !matches!(kind, 3 | 4 | 5 | 11 | 12) {
            return None;
        }
        let [_, _, high, low] = icmp.bytes5to8();
        let mtu = (kind == 3 && code == 4).then(|| u32::from(u16::from_be_bytes([high, low])));
        let headers = inner(&LaxSlicedPacket::from_ether_type(EtherType::IPV4, icmp.payload()))?;
        Some(Self { wrapper: Wrapper::IcmpError { mtu }, headers })
    }

    /// RFC 4443: types below 128 are errors.
    fn quoted6(icmp: &Icmpv6Slice<'_>) -> Option<Self> {
        if !matches!(icmp.type_u8(), 1..=4) {
            return None;
        }
        let mtu = (icmp.type_u8() == 2).then(|| u32::from_be_bytes(icmp.bytes5to8()));
        let headers = inner(&LaxSlicedPacket::from_ether_type(EtherType::IPV6, icmp.payload()))?;
        Some(Self { wrapper: Wrapper::IcmpError { mtu }, headers })
    }
}

/// The headers of an inner packet, with its ports even where it ends behind them: routers need not quote more than
/// eight bytes of what follows IP, and of a tunnel over IPv6 no more is captured.
fn inner(sliced: &LaxSlicedPacket<'_>) -> Option<Headers> {
    let mut headers = Headers::of(sliced)?;
    let Tuple { sport: None, dport: None, .. } = headers.tuple else { return Some(headers) };
    let (payload, fragment) = match sliced.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => (ip.payload(), ip.header().fragments_offset().value() != 0),
        LaxNetSlice::Ipv6(ip) => (ip.payload(), ip.is_payload_fragmented()),
        LaxNetSlice::Arp(_) => return Some(headers),
    };
    let has_ports = match headers.proto {
        Proto::Tcp | Proto::Udp => true,
        Proto::Ip(number) => [IpNumber::SCTP, IpNumber::DCCP, IpNumber::UDP_LITE].contains(&IpNumber(number)),
        Proto::Icmp | Proto::Icmp6 | Proto::Arp | Proto::Ethernet(_) => false,
    };
    if let (true, false, Some([a, b, c, d])) = (has_ports, fragment, payload.payload.first_chunk::<4>()) {
        headers.tuple.sport = Some(u16::from_be_bytes([*a, *b]));
        headers.tuple.dport = Some(u16::from_be_bytes([*c, *d]));
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    const IPV4: u16 = 0x0800;
    const IPV6: u16 = 0x86dd;

    /// A SYN from 10.1.0.2:4000 to 10.2.0.3:80, IP header first.
    fn segment() -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4([10, 1, 0, 2], [10, 2, 0, 3], 64)
            .tcp(4000, 80, 7, 1000)
            .syn()
            .write(&mut bytes, &[])
            .unwrap();
        bytes
    }

    fn segment6() -> Vec<u8> {
        let mut bytes = Vec::new();
        let address = |last| std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).octets();
        PacketBuilder::ipv6(address(2), address(3), 64).udp(4000, 53).write(&mut bytes, &[0; 12]).unwrap();
        bytes
    }

    fn error(kind: u8, code: u8, rest: [u8; 4], quoted: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4([10, 1, 0, 1], [10, 1, 0, 2], 64)
            .icmpv4_raw(kind, code, rest)
            .write(&mut bytes, quoted)
            .unwrap();
        bytes
    }

    fn ports(nested: Nested) -> (Option<u16>, Option<u16>) {
        (nested.headers.tuple.sport, nested.headers.tuple.dport)
    }

    #[test]
    fn an_icmp_error_names_the_packet_it_is_about() {
        let nested = Headers::parse(&error(3, 4, [0, 0, 5, 120], &segment()), false, IPV4).1.unwrap();
        assert_eq!(nested.wrapper, Wrapper::IcmpError { mtu: Some(1400) });
        assert_eq!((nested.headers.proto, ports(nested)), (Proto::Tcp, (Some(4000), Some(80))));
        let nested = Headers::parse(&error(3, 3, [0, 0, 5, 120], &segment()), false, IPV4).1.unwrap();
        assert_eq!(nested.wrapper, Wrapper::IcmpError { mtu: None }, "no MTU in a port unreachable");
        assert_eq!(Headers::parse(&error(8, 0, [0; 4], &segment()), false, IPV4).1, None, "an echo quotes nothing");
    }

    #[test]
    fn eight_bytes_behind_the_quoted_ip_header_are_enough_for_its_ports() {
        let whole = segment();
        for end in 0..whole.len() {
            let nested = Headers::parse(&error(11, 0, [0; 4], &whole[..end]), false, IPV4).1;
            assert_eq!(nested.is_some(), end >= 20, "{end} bytes: {nested:?}");
            let ports = nested.map(ports);
            assert_eq!(ports == Some((Some(4000), Some(80))), end >= 24, "{end} bytes: {ports:?}");
        }
    }

    #[test]
    fn a_later_fragment_has_no_ports() {
        let mut quoted = segment();
        quoted[7] = 185;
        let nested = Headers::parse(&error(11, 1, [0; 4], &quoted), false, IPV4).1.unwrap();
        assert_eq!(ports(nested), (None, None));
    }

    #[test]
    fn packet_too_big_says_what_would_have_passed() {
        let mut bytes = Vec::new();
        let address = |last| std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).octets();
        PacketBuilder::ipv6(address(1), address(2), 64)
            .icmpv6_raw(2, 0, 1280_u32.to_be_bytes())
            .write(&mut bytes, &segment6())
            .unwrap();
        let nested = Headers::parse(&bytes, false, IPV6).1.unwrap();
        assert_eq!(nested.wrapper, Wrapper::IcmpError { mtu: Some(1280) });
        assert_eq!((nested.headers.proto, ports(nested)), (Proto::Udp, (Some(4000), Some(53))));
    }

    fn vxlan(port: u16, header: [u8; 8], inner: &[u8]) -> Vec<u8> {
        let mut payload = header.to_vec();
        payload.extend([2; 12]);
        payload.extend([8, 0]);
        payload.extend(inner);
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
            .udp(33333, port)
            .write(&mut bytes, &payload)
            .unwrap();
        bytes
    }

    #[test]
    fn vxlan_carries_a_frame() {
        for port in [4789, 8472] {
            let bytes = vxlan(port, [8, 0, 0, 0, 0, 1, 2, 0], &segment());
            let (outer, nested) = Headers::parse(&bytes, true, IPV4);
            assert_eq!((outer.proto, outer.tuple.dport), (Proto::Udp, Some(port)));
            let nested = nested.unwrap();
            assert_eq!(nested.wrapper, Wrapper::Vxlan { vni: 0x102 });
            assert_eq!(nested.headers.tuple.src, Some([10, 1, 0, 2].into()));
            assert_eq!(ports(nested), (Some(4000), Some(80)));
        }
    }

    #[test]
    fn not_everything_on_that_port_is_vxlan() {
        assert_eq!(Headers::parse(&vxlan(4790, [8, 0, 0, 0, 0, 1, 2, 0], &segment()), true, IPV4).1, None);
        assert_eq!(Headers::parse(&vxlan(4789, [0, 0, 0, 0, 0, 1, 2, 0], &segment()), true, IPV4).1, None);
        assert_eq!(Headers::parse(&vxlan(8472, [8, 0, 0, 0, 0, 1, 2, 1], &segment()), true, IPV4).1, None);
    }

    #[test]
    fn a_frame_cut_short_anywhere_gives_what_is_there() {
        let bytes = vxlan(4789, [8, 0, 0, 0, 0, 1, 2, 0], &segment());
        // Ethernet, IP, UDP, VXLAN, Ethernet.
        let inner = 14 + 20 + 8 + 8 + 14;
        for end in 0..bytes.len() {
            let nested = Headers::parse(&bytes[..end], true, IPV4).1;
            assert_eq!(nested.is_some(), end >= inner + 20, "{end} bytes: {nested:?}");
            assert_eq!(nested.is_some_and(|nested| ports(nested).0.is_some()), end >= inner + 24, "{end} bytes");
        }
    }
}
