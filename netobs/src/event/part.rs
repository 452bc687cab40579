//! Which part of a datagram an IPv4 packet is.

/// `ETH_P_IP`
const IPV4: u16 = 0x0800;
const ETHERNET_HEADER: usize = 14;
/// `IP_MF`: more fragments follow.
const MORE: u16 = 0x2000;
/// The offset's bits; it counts eights of bytes.
const OFFSET: u16 = 0x1fff;

/// What an IPv4 header says of the datagram that the packet is, or is a fragment of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The same in all fragments; 0 in many packets that must not be fragmented.
    pub id: u16,
    /// Where its payload begins in the datagram's, in bytes.
    pub offset: u32,
    /// Bytes of its payload.
    pub length: u32,
    /// It is not the last.
    pub more: bool,
}

impl Part {
    /// Whether it is not the whole datagram.
    pub fn is_fragment(&self) -> bool {
        self.more || self.offset > 0
    }

    /// Whether the packet holds a part of what this one holds.
    pub fn is_of(&self, whole: &Self) -> bool {
        let end = |part: &Self| part.offset.saturating_add(part.length);
        let is_inside = whole.offset <= self.offset && end(self) <= end(whole) && self.length < whole.length;
        self.is_fragment() && self.id != 0 && self.id == whole.id && is_inside
    }

    /// Reads it from the first bytes of a packet, which may be cut short anywhere. `None` unless it is IPv4.
    pub(super) fn parse(bytes: &[u8], ethernet: bool, ether_type: u16) -> Option<Self> {
        let ip = if ethernet { bytes.get(ETHERNET_HEADER..)? } else { bytes };
        let [first, _, high, low, id_high, id_low, flags, offset, ..] = *ip else { return None };
        if ether_type != IPV4 || first >> 4 != 4 {
            return None;
        }
        let flags = u16::from_be_bytes([flags, offset]);
        let total = u32::from(u16::from_be_bytes([high, low]));
        Some(Self {
            id: u16::from_be_bytes([id_high, id_low]),
            offset: u32::from(flags & OFFSET) * 8,
            length: total.saturating_sub(u32::from(first & 15) * 4),
            more: flags & MORE != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(offset: u32, length: u32, more: bool) -> Part {
        Part { id: 7, offset, length, more }
    }

    #[test]
    fn read_from_the_header() {
        let ip = [0x45, 0, 0x05, 0xdc, 0x12, 0x34, 0x20, 0xb9, 64, 17];
        assert_eq!(Part::parse(&ip, false, IPV4), Some(Part { id: 0x1234, offset: 1480, length: 1480, more: true }));
        let frame = [&[2; 14][..], &ip].concat();
        assert_eq!(Part::parse(&frame, true, IPV4), Part::parse(&ip, false, IPV4));
        for end in 0..ip.len() {
            assert_eq!(Part::parse(&ip[..end], false, IPV4).is_some(), end >= 8, "{end} bytes");
        }
        assert_eq!(Part::parse(&ip, false, 0x86dd), None);
        // Must not be fragmented.
        let whole = [0x45, 0, 0, 84, 0x12, 0x34, 0x40, 0];
        assert!(!Part::parse(&whole, false, IPV4).unwrap().is_fragment());
    }

    #[test]
    fn a_fragment_lies_within_what_it_is_of() {
        let whole = part(0, 3908, false);
        for fragment in [part(0, 1480, true), part(1480, 1480, true), part(2960, 948, false)] {
            assert!(fragment.is_of(&whole), "{fragment:?}");
            assert!(!fragment.is_of(&fragment), "{fragment:?}");
            assert!(!Part { id: 8, ..fragment }.is_of(&whole), "another datagram's");
        }
        assert!(!part(2960, 949, false).is_of(&whole), "beyond its end");
        // A fragment that is cut once more.
        assert!(part(1480, 1376, true).is_of(&part(1480, 1480, true)));
        assert!(!part(0, 1376, true).is_of(&part(1480, 1480, true)));
        // Without an id nothing is proven.
        let nameless = |part: Part| Part { id: 0, ..part };
        assert!(!nameless(part(0, 1480, true)).is_of(&nameless(whole)));
    }
}
