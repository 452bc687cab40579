//! What tells two packets apart that had the same address one after the other.

use core::ptr::read_volatile;

use crate::access::{Access, Probed};
use crate::packet::Extent;

const IPV4: u8 = 4;
const IPV6: u8 = 6;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// VXLAN's ports: IANA's, and the one Linux took before there was one.
const VXLAN_PORTS: [u16; 2] = [4789, 8472];
/// The flag that must be set in its header, and the byte behind the VNI that must not.
const VXLAN_HAS_VNI: u32 = u32::from_ne_bytes([8, 0, 0, 0]);
const VXLAN_RESERVED: u32 = u32::from_ne_bytes([0, 0, 0, 0xff]);

/// Two hashes of what neither NAT nor a router changes. The upper half is of this one packet: IP id, lengths, TCP
/// sequence numbers, ICMP sequence, the first bytes of a datagram's payload. The lower half is of a TCP segment's place
/// in its stream, which a retransmission shares, though its IP id and acknowledgement are new; 0 for anything else.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

/// Set in the upper half, so that no fingerprint is [`Fingerprint::NONE`].
const TAKEN: u64 = 1 << 63;

impl Fingerprint {
    /// Not taken yet. An `Option` would not do: where it is `None` the compiler copies registers about that nobody has
    /// written to, which the verifier refuses.
    pub const NONE: Self = Self(0);

    /// # Safety
    /// `extent` was taken from a live packet.
    #[inline(always)]
    pub unsafe fn of(extent: &Extent) -> Self {
        Self(fingerprint_hash(&[extent.head, u64::from(extent.network)]))
    }

    /// As it is kept in a map.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The reverse.
    #[inline(always)]
    pub const fn of_word(word: u64) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    #[inline(always)]
    pub fn is_same_packet(self, other: Self) -> bool {
        self.0 >> 32 == other.0 >> 32
    }

    #[inline(always)]
    pub fn is_same_data(self, other: Self) -> bool {
        self.0 as u32 != 0 && self.0 as u32 == other.0 as u32
    }
}

/// Exported for the same reason as the filter: its branches, verified anew on every path that leads to it, cost the
/// egress classifier more than the million instructions a verifier looks at (6.1).
///
/// The head and the offset come through memory: to a tp_btf program `skb->head` is no number, and only numbers may be
/// handed to an exported function as they are.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fingerprint_hash(place: *const [u64; 2]) -> u64 {
    if place.is_null() {
        return 0;
    }
    // SAFETY: not null, so it is the caller's array. Read at once: a verifier follows neither from the other.
    let [head, network] = unsafe { read_volatile(place) };
    let outer = (head as *const u8).wrapping_add(network as usize);
    let ip = outer.wrapping_add(carried(outer) as usize);
    // SAFETY: the helper behind Probed checks the address, here and below.
    let words: [u32; 2] = unsafe { Probed::read(ip, 0) };
    let first = words[0] as u8;
    let (network, protocol, transport, length) = if first >> 4 == IPV4 {
        // Total length, identification, fragment offset; protocol.
        // SAFETY: as above.
        let protocol: u8 = unsafe { Probed::read(ip, 9) };
        let later_fragment = words[1] & u32::from_ne_bytes([0, 0, 0x1f, 0xff]) != 0;
        (
            (u64::from(words[0] >> 16) << 32) | u64::from(words[1]),
            if later_fragment { 0 } else { protocol },
            u32::from(first & 15) * 4,
            u32::from(u16::from_be((words[0] >> 16) as u16)).wrapping_sub(u32::from(first & 15) * 4),
        )
    } else if first >> 4 == IPV6 {
        // Flow label, payload length; next header.
        (
            u64::from(words[0] & u32::from_ne_bytes([0, 0x0f, 0xff, 0xff])) << 32 | u64::from(words[1] as u16),
            (words[1] >> 16) as u8,
            40,
            u32::from(u16::from_be(words[1] as u16)),
        )
    } else {
        // ARP and the like: operation, then sender and target.
        // SAFETY: as above.
        let (rest, last): ([u64; 2], u32) = unsafe { (Probed::read(ip, 8), Probed::read(ip, 24)) };
        (rest[0] ^ rest[1].rotate_left(17) ^ u64::from(words[1]) << 32 ^ u64::from(last), 0, 0, 0)
    };
    // SAFETY: as above.
    let l4: [u32; 4] = unsafe { Probed::read(ip.wrapping_add(transport as usize), 0) };
    let detail = match protocol {
        // Sequence and acknowledgement; data offset, flags and window.
        TCP => (u64::from(l4[1]) << 32 | u64::from(l4[2])) ^ u64::from(l4[3]).rotate_left(13),
        // Length, and eight bytes of payload: NAT changes ports and with them the checksum.
        UDP => u64::from(l4[1] as u16) ^ (u64::from(l4[2]) << 32 | u64::from(l4[3])),
        // Type, code and sequence; NAT may change the id and with it the checksum.
        ICMP | ICMPV6 => u64::from(l4[0] as u16) | u64::from(l4[1] >> 16) << 16,
        _ => 0,
    };
    let packet = mix(mix(network ^ u64::from(protocol) << 56) ^ detail);
    let data = if protocol == TCP { stream_place(l4[1], l4[3], length) } else { 0 };
    packet & !u64::from(u32::MAX) | TAKEN | data
}

/// Where in a VXLAN packet the packet inside begins; 0 for any other. A packet is the same before it is wrapped, on the
/// wire, and unwrapped.
#[inline(always)]
fn carried(ip: *const u8) -> u32 {
    // SAFETY: the helper behind Probed checks the address, here and below.
    let words: [u32; 3] = unsafe { Probed::read(ip, 0) };
    let first = words[0] as u8;
    let later_fragment = words[1] & u32::from_ne_bytes([0, 0, 0x1f, 0xff]) != 0;
    let (protocol, transport) = match first >> 4 {
        IPV4 if !later_fragment => ((words[2] >> 8) as u8, u32::from(first & 15) * 4),
        IPV6 => ((words[1] >> 16) as u8, 40),
        _ => return 0,
    };
    if protocol != UDP {
        return 0;
    }
    // Ports, length and checksum; flags and VNI.
    // SAFETY: as above.
    let udp: [u32; 4] = unsafe { Probed::read(ip.wrapping_add(transport as usize), 0) };
    let port = u16::from_be((udp[0] >> 16) as u16);
    let is_vxlan = udp[2] & VXLAN_HAS_VNI != 0 && udp[3] & VXLAN_RESERVED == 0;
    if VXLAN_PORTS.contains(&port) && is_vxlan { transport + 8 + 8 + 14 } else { 0 }
}

/// Of a segment that occupies a place in its stream; 0 for a mere acknowledgement, which is never sent again as such.
///
/// `flags` is the word of the header that begins with the data offset, `length` that of header and payload.
#[inline(always)]
fn stream_place(sequence: u32, flags: u32, length: u32) -> u64 {
    const FIN_OR_SYN: u32 = 3 << 8;
    let payload = length.wrapping_sub((flags >> 4 & 15) * 4);
    if payload == 0 && flags & FIN_OR_SYN == 0 {
        return 0;
    }
    mix(u64::from(sequence) << 32 | u64::from(payload << 2 | flags >> 8 & 3)) >> 32 | 1
}

#[inline(always)]
fn mix(value: u64) -> u64 {
    let value = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (value ^ value >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}
