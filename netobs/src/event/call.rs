//! A packet at the entry of a kernel function.

use std::net::IpAddr;

use netobs_ebpf::CALL_BYTES;

use super::header::{Headers, Tuple};
use super::ids::PacketId;
use super::record::{bytes_of, index};
use crate::netlink::Ifindex;
use crate::netns::NetnsInode;

const TCP: u8 = libc::IPPROTO_TCP as u8;
const UDP: u8 = libc::IPPROTO_UDP as u8;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// One packet at the entry of one function.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// Which packet.
    pub packet: PacketId,
    /// Which function: the site of its row.
    pub site: u8,
    /// It came before the packet's first event, though it is recorded after it.
    pub is_early: bool,
    /// Namespace, if the packet had a device or a socket.
    pub netns: Option<NetnsInode>,
    /// Device index, if the packet had a device.
    pub ifindex: Option<Ifindex>,
    /// Bytes from the Ethernet header on, or from the network header if there is no Ethernet header. `None` for an early
    /// one.
    pub length: Option<u32>,
    /// Addresses and ports. `None` for an early one: its headers may not have been written yet.
    pub tuple: Option<Tuple>,
}

impl Call {
    /// Length of its record.
    pub(super) const BYTES: usize = size_of::<netobs_ebpf::Call>();

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < Self::BYTES {
            return None;
        }
        // SAFETY: long enough, and every bit pattern is a value of this struct of integers.
        let record = unsafe { bytes.as_ptr().cast::<netobs_ebpf::Call>().read_unaligned() };
        let header: [u8; CALL_BYTES] = bytes_of(&record.header);
        let is_early = record.is_early != 0;
        Some(Self {
            time: record.time,
            packet: PacketId(record.packet),
            site: record.site,
            is_early,
            netns: (record.netns != 0).then_some(NetnsInode(record.netns)),
            ifindex: index(record.ifindex),
            length: (!is_early).then_some(record.length),
            tuple: if is_early { None } else { tuple(&header, record.protocol) },
        })
    }
}

/// Of bytes that begin with the network header and end within the transport header.
fn tuple(header: &[u8; CALL_BYTES], ether_type: u16) -> Option<Tuple> {
    let port = |at: usize| Some(u16::from_be_bytes(header.get(at..at + 2)?.try_into().ok()?));
    let (src, dst, protocol, transport) = match i32::from(ether_type) {
        libc::ETH_P_IP => {
            let length = usize::from(header.first()? & 15) * 4;
            let later_fragment = port(6)? & 0x1fff != 0;
            let address = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(header.get(at..at + 4)?).ok()?));
            let protocol = header.get(9).copied().filter(|_| !later_fragment);
            (address(12)?, address(16)?, protocol, length.max(IPV4_HEADER))
        }
        libc::ETH_P_IPV6 => {
            let address = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(header.get(at..at + 16)?).ok()?));
            (address(8)?, address(24)?, header.get(6).copied(), IPV6_HEADER)
        }
        _ => return Some(Headers::parse(header, false, ether_type).0.tuple),
    };
    let ports = matches!(protocol, Some(TCP | UDP));
    let (sport, dport) = if ports { (port(transport), port(transport + 2)) } else { (None, None) };
    Some(Tuple { src: Some(src), dst: Some(dst), sport, dport })
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    #[test]
    fn addresses_and_ports_are_those_of_the_whole_packet() {
        let builders = [
            (PacketBuilder::ipv4([10, 40, 0, 2], [10, 40, 0, 3], 64).tcp(45, 80, 7, 1000), 0x0800),
            (PacketBuilder::ipv6([1; 16], [2; 16], 64).tcp(45, 80, 7, 1000), 0x86dd),
        ];
        for (builder, ether_type) in builders {
            let mut bytes = Vec::new();
            builder.write(&mut bytes, &[0; 64]).unwrap();
            let whole = Headers::parse(&bytes, false, ether_type).0.tuple;
            let cut: [u8; CALL_BYTES] = bytes.get(..CALL_BYTES).unwrap().try_into().unwrap();
            assert_eq!(tuple(&cut, ether_type), Some(whole));
        }
        let mut ping = Vec::new();
        let builder = PacketBuilder::ipv4([10, 40, 0, 2], [10, 40, 0, 3], 64).icmpv4_echo_request(1, 2);
        builder.write(&mut ping, &[0; 56]).unwrap();
        let cut: [u8; CALL_BYTES] = ping.get(..CALL_BYTES).unwrap().try_into().unwrap();
        assert_eq!(tuple(&cut, 0x0800), Some(Headers::parse(&ping, false, 0x0800).0.tuple));
    }
}
