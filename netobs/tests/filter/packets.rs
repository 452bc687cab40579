//! Packets to try filters on.

use etherparse::{
    ArpEthIpv4Packet, ArpHardwareId, ArpOperation, EtherType, IpFragOffset, IpNumber, Ipv4Header, Ipv6Header,
    PacketBuilder, SingleVlanHeader, VlanHeader,
};

/// A packet as a device would see it.
#[derive(Clone)]
pub struct Packet {
    pub name: String,
    pub bytes: Vec<u8>,
    /// Where its IP header begins.
    pub network: usize,
    /// Its length before it was cut.
    pub length: usize,
}

const C1: [u8; 4] = [10, 40, 0, 2];
const C2: [u8; 4] = [10, 40, 0, 3];
const HOST: [u8; 4] = [203, 0, 113, 2];
const INET: [u8; 4] = [198, 51, 100, 10];
const MAC1: [u8; 6] = [2, 0, 0, 0, 0, 1];
const MAC2: [u8; 6] = [2, 0, 0, 0, 0, 2];
const BROADCAST: [u8; 6] = [0xff; 6];
const MULTICAST6: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// Writes a packet with what is left of a builder.
macro_rules! built {
    ($builder:expr, $payload:expr) => {{
        let payload: &[u8] = $payload;
        let builder = $builder;
        let mut bytes = Vec::with_capacity(builder.size(payload.len()));
        builder.write(&mut bytes, payload).expect("a well-formed packet");
        bytes
    }};
}

/// Every kind of packet that filters tell apart.
pub fn table() -> Vec<Packet> {
    let mut packets: Vec<Packet> = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>| {
        let network = if bytes.get(12..14) == Some(&[0x81, 0]) { 18 } else { 14 };
        packets.push(Packet { name: name.to_owned(), network: network.min(bytes.len()), length: bytes.len(), bytes });
    };
    let eth = || PacketBuilder::ethernet2(MAC1, MAC2);

    add("tcp syn", built!(eth().ipv4(C1, C2, 64).tcp(40_000, 80, 1, 64_000).syn(), &[]));
    add("tcp syn ack", built!(eth().ipv4(C2, C1, 64).tcp(80, 40_000, 9, 64_000).syn().ack(2), &[]));
    add(
        "tcp get",
        built!(eth().ipv4(C1, INET, 63).tcp(40_000, 80, 2, 64_000).ack(10).psh(), b"GET / HTTP/1.1\r\n\r\n"),
    );
    add("tcp post 8080", built!(eth().ipv4(INET, HOST, 3).tcp(50_000, 8080, 2, 9).ack(10), b"POST /x HTTP/1.1\r\n"));
    add("tcp rst", built!(eth().ipv4(HOST, INET, 64).tcp(22, 33, 2, 0).rst(), &[]));
    let options =
        [etherparse::TcpOptionElement::MaximumSegmentSize(1460), etherparse::TcpOptionElement::WindowScale(7)];
    let tcp = eth().ipv4(C1, C2, 64).tcp(40_000, 80, 1, 64_000).ack(3).options(&options).expect("short options");
    add("tcp options get", built!(tcp, b"GET /index"));
    add("tcp large", built!(eth().ipv4(C2, INET, 64).tcp(443, 40_001, 7, 1).ack(3), &[7; 1400]));
    add("udp dns", built!(eth().ipv4(C1, INET, 64).udp(5353, 53), b"query"));
    add("udp dns answer", built!(eth().ipv4(INET, C1, 2).udp(53, 5353), &[1; 120]));
    add("udp empty", built!(eth().ipv4(C2, C1, 64).udp(68, 67), &[]));
    add("udp multicast", built!(eth().ipv4(C2, [224, 0, 0, 251], 1).udp(5353, 5353), b"mdns"));
    add(
        "udp broadcast",
        built!(PacketBuilder::ethernet2(MAC2, BROADCAST).ipv4(C2, [255; 4], 1).udp(68, 67), &[0; 240]),
    );
    add("icmp echo", built!(eth().ipv4(C1, C2, 64).icmpv4_echo_request(7, 1), &[0xa5; 56]));
    add("icmp reply", built!(eth().ipv4(C2, C1, 64).icmpv4_echo_reply(7, 1), &[0xa5; 56]));
    let unreachable = etherparse::Icmpv4Type::DestinationUnreachable(etherparse::icmpv4::DestUnreachableHeader::Port);
    add("icmp unreachable", built!(eth().ipv4(HOST, C1, 64).icmpv4(unreachable), &[0x45; 28]));

    for (name, offset, more) in
        [("first fragment", 0, true), ("middle fragment", 8, true), ("last fragment", 181, false)]
    {
        let mut ip = Ipv4Header::new(64, 64, IpNumber::UDP, C1, INET).expect("fits");
        ip.dont_fragment = false;
        ip.more_fragments = more;
        ip.fragment_offset = IpFragOffset::try_new(offset).expect("fits");
        let mut bytes = ethernet(MAC1, MAC2, 0x0800);
        ip.write(&mut bytes).expect("to memory");
        bytes.extend_from_slice(&[0x13, 0x88, 0, 53, 0, 64, 0, 0]);
        bytes.extend_from_slice(&[3; 56]);
        add(name, bytes);
    }
    for (name, words) in [("ip options tcp", 1), ("most ip options tcp", 10)] {
        let mut bytes = ethernet(MAC2, MAC1, 0x0800);
        let mut ip = Ipv4Header::new(20, 64, IpNumber::TCP, C2, C1).expect("fits");
        ip.options = vec![1; words * 4].as_slice().try_into().expect("fits");
        ip.write(&mut bytes).expect("to memory");
        bytes.extend_from_slice(&[0, 80, 0x9c, 0x40, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x12, 0xff, 0xff, 0, 0, 0, 0]);
        add(name, bytes);
    }
    let mut wrong = built!(eth().ipv4(C1, C2, 64).tcp(1, 80, 1, 1), &[]);
    wrong[14] = 0x4f;
    add("ip header longer than packet", wrong.clone());
    wrong[14] = 0x40;
    add("ip header of no length", wrong);

    for operation in [ArpOperation::REQUEST, ArpOperation::REPLY] {
        let (to, mac) = if operation == ArpOperation::REQUEST { (BROADCAST, [0; 6]) } else { (MAC1, MAC1) };
        let arp = ArpEthIpv4Packet { operation, sender_mac: MAC2, sender_ipv4: C1, target_mac: mac, target_ipv4: C2 };
        let mut bytes = ethernet(MAC2, to, 0x0806);
        bytes.extend_from_slice(&[0, ArpHardwareId::ETHERNET.0 as u8]);
        bytes.extend_from_slice(&EtherType::IPV4.0.to_be_bytes());
        bytes.extend_from_slice(&[6, 4]);
        bytes.extend_from_slice(&arp.operation.0.to_be_bytes());
        bytes.extend([&arp.sender_mac[..], &arp.sender_ipv4, &arp.target_mac, &arp.target_ipv4].concat());
        add(if operation == ArpOperation::REQUEST { "arp request" } else { "arp reply" }, bytes);
    }

    let local = |last: u8| -> [u8; 16] { [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last] };
    let ula = |last: u8| -> [u8; 16] { [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last] };
    add("icmp6 echo", built!(eth().ipv6(local(2), local(3), 64).icmpv6_echo_request(1, 1), &[9; 56]));
    add("icmp6 reply", built!(eth().ipv6(ula(2), ula(3), 64).icmpv6_echo_reply(1, 1), &[9; 56]));
    let mut all_nodes = [0; 16];
    (all_nodes[0], all_nodes[1], all_nodes[15]) = (0xff, 2, 1);
    let multicast = PacketBuilder::ethernet2(MAC1, MULTICAST6).ipv6(local(2), all_nodes, 255);
    add("icmp6 multicast", built!(multicast.icmpv6_echo_request(1, 1), &[]));
    add("tcp6 syn", built!(eth().ipv6(ula(3), ula(2), 64).tcp(40_000, 80, 1, 1).syn(), &[]));
    add("tcp6 data", built!(eth().ipv6(ula(3), ula(2), 64).tcp(8443, 80, 1, 1).ack(1), &[1; 300]));
    add("udp6 dns", built!(eth().ipv6(ula(3), local(2), 1).udp(4000, 53), b"question"));
    for (name, next, extension) in [
        ("ip6 hop by hop icmp6", 0, [58, 0, 5, 2, 0, 0, 1, 0]),
        ("ip6 fragment tcp", 44, [6, 0, 0, 1, 0, 0, 0, 7]),
        ("ip6 later fragment udp", 44, [17, 0, 0x05, 0xa8, 0, 0, 0, 7]),
        ("ip6 destination options udp", 60, [17, 0, 1, 4, 0, 0, 0, 0]),
    ] {
        let mut bytes = ethernet(MAC1, MAC2, 0x86dd);
        let header = Ipv6Header {
            payload_length: 48,
            next_header: IpNumber(next),
            hop_limit: 64,
            source: ula(2),
            destination: ula(3),
            ..Ipv6Header::default()
        };
        header.write(&mut bytes).expect("to memory");
        bytes.extend_from_slice(&extension);
        bytes.extend_from_slice(&[0, 53, 0, 80, 0, 40, 0, 0]);
        bytes.extend_from_slice(&[4; 32]);
        add(name, bytes);
    }

    let tagged = |id: u16| {
        let tag = SingleVlanHeader { vlan_id: id.try_into().expect("12 bits"), ..SingleVlanHeader::default() };
        PacketBuilder::ethernet2(MAC1, MAC2).vlan(VlanHeader::Single(tag))
    };
    add("vlan 100 tcp", built!(tagged(100).ipv4(C1, C2, 64).tcp(40_000, 80, 1, 1), b"GET /"));
    add("vlan 7 udp", built!(tagged(7).ipv4(C1, C2, 64).udp(4000, 53), b"x"));
    add("vlan 100 icmp6", built!(tagged(100).ipv6(ula(2), ula(3), 64).icmpv6_echo_request(1, 1), &[]));
    let mut stp = ethernet(MAC1, [1, 0x80, 0xc2, 0, 0, 0], 38);
    stp.extend_from_slice(&[0x42, 0x42, 3, 0, 0, 0, 0, 0]);
    add("llc stp", stp);

    let cut = |packet: &Packet, at: usize| Packet {
        name: format!("{} cut at {at}", packet.name),
        bytes: packet.bytes[..at].to_vec(),
        network: packet.network.min(at),
        length: packet.length,
    };
    let cuts: [(&str, &[usize]); 3] = [
        ("tcp get", &[0, 1, 13, 14, 20, 33, 34, 35, 37, 40, 47, 48, 53, 56]),
        ("icmp6 echo", &[15, 53, 54, 60]),
        ("vlan 100 tcp", &[14, 16, 18, 40]),
    ];
    for (name, lengths) in cuts {
        let whole = packets.iter().find(|packet| packet.name == name).expect("is in the table").clone();
        packets.extend(lengths.iter().map(|&at| cut(&whole, at)));
    }
    packets
}

fn ethernet(from: [u8; 6], to: [u8; 6], kind: u16) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes()].concat()
}
