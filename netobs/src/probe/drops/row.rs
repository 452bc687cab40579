//! A row of the kernel's table, in typed values.

use netobs_ebpf::DropKey;

use crate::event::{DeviceName, DropReason, Proto};
use crate::netlink::Ifindex;
use crate::netns::{NetnsCookie, NetnsInode};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;

/// What drops that are counted together have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DropRow {
    /// Return address of the call that freed the packet.
    pub location: Option<u64>,
    /// Why.
    pub reason: DropReason,
    /// Namespace of the packet's device, or of the socket it belonged to.
    pub netns: Option<NetnsInode>,
    /// The namespace's number that is never given out again; `None` before 5.12.
    pub cookie: Option<NetnsCookie>,
    /// Index of the device, if the packet had one.
    pub ifindex: Option<Ifindex>,
    /// Name of the device then.
    pub device: Option<DeviceName>,
    /// What it was; `None` for what is no packet of a network (a datagram of a local socket).
    pub proto: Option<Proto>,
}

/// One row and its total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropCount {
    /// Which.
    pub row: DropRow,
    /// Packets since the counters were attached.
    pub packets: u64,
}

impl DropRow {
    pub(super) fn of(key: &DropKey) -> Self {
        Self {
            location: (key.location != 0).then_some(key.location),
            reason: DropReason(key.reason),
            netns: (key.netns != 0).then_some(NetnsInode(key.netns)),
            cookie: (key.cookie != 0).then_some(NetnsCookie(key.cookie)),
            ifindex: (key.ifindex != 0).then_some(Ifindex(key.ifindex)),
            device: (key.device != [0; 2]).then(|| DeviceName::of_words(key.device)),
            proto: proto(key.ethertype, key.protocol),
        }
    }
}

fn proto(ethertype: u16, protocol: u8) -> Option<Proto> {
    Some(match ethertype {
        0 => return None,
        IPV4 | IPV6 => Proto::of_ip(protocol),
        ARP => Proto::Arp,
        other => Proto::Ethernet(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_none() {
        let nothing = DropKey {
            location: 0,
            device: [0; 2],
            cookie: 0,
            reason: 2,
            netns: 0,
            ifindex: 0,
            ethertype: 0,
            protocol: 0,
            reserved: 0,
        };
        let row = DropRow::of(&nothing);
        assert_eq!((row.location, row.netns, row.cookie, row.ifindex), (None, None, None, None));
        assert_eq!((row.device, row.proto), (None, None));
        let eth0 =
            DropKey { device: [u64::from_ne_bytes(*b"eth0\0\0\0\0"), 0], ethertype: IPV6, protocol: 58, ..nothing };
        let row = DropRow::of(&eth0);
        assert_eq!(row.device.map(DeviceName::to_string_lossy).as_deref(), Some("eth0"));
        assert_eq!(row.proto, Some(Proto::Icmp6));
        assert_eq!(proto(ARP, 0), Some(Proto::Arp));
        assert_eq!(proto(0x8100, 0), Some(Proto::Ethernet(0x8100)));
    }
}
