//! What a routing table answered, as typed values.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;

use super::ids::DeviceName;
use crate::netlink::Ifindex;

const AF_INET: u8 = libc::AF_INET as u8;
const AF_INET6: u8 = libc::AF_INET6 as u8;

/// `RTN_*`: what a route does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// Sends it to a device, or to a gateway behind one.
    Unicast,
    /// Hands it to this namespace's own sockets.
    Local,
    /// Takes it in, and sends it to everybody on a link.
    Broadcast,
    /// Hands it to this namespace, one of several that have the address.
    Anycast,
    /// Sends it to a group.
    Multicast,
    /// Throws it away silently.
    Blackhole,
    /// Throws it away and tells the sender that the host cannot be reached.
    Unreachable,
    /// Throws it away and tells the sender that it is not allowed.
    Prohibit,
    /// Has the next rule's table asked.
    Throw,
}

impl RouteKind {
    /// The name that `ip route` has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unicast => "unicast",
            Self::Local => "local",
            Self::Broadcast => "broadcast",
            Self::Anycast => "anycast",
            Self::Multicast => "multicast",
            Self::Blackhole => "blackhole",
            Self::Unreachable => "unreachable",
            Self::Prohibit => "prohibit",
            Self::Throw => "throw",
        }
    }

    /// Numbers of `<linux/rtnetlink.h>`.
    fn of_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Unicast,
            2 => Self::Local,
            3 => Self::Broadcast,
            4 => Self::Anycast,
            5 => Self::Multicast,
            6 => Self::Blackhole,
            7 => Self::Unreachable,
            8 => Self::Prohibit,
            9 => Self::Throw,
            _ => return None,
        })
    }

    /// The error that a route of this kind is (`fib_props`, `ip6_rt_type_to_error`).
    fn error(self) -> Option<Errno> {
        match self {
            Self::Blackhole => Some(Errno::EINVAL),
            Self::Unreachable => Some(Errno::EHOSTUNREACH),
            Self::Prohibit => Some(Errno::EACCES),
            Self::Throw => Some(Errno::EAGAIN),
            Self::Unicast | Self::Local | Self::Broadcast | Self::Anycast | Self::Multicast => None,
        }
    }

    fn of_error(error: Errno) -> Option<Self> {
        [Self::Blackhole, Self::Unreachable, Self::Prohibit].into_iter().find(|kind| kind.error() == Some(error))
    }
}

/// The answer of one routing table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// What was looked for.
    pub destination: Option<IpAddr>,
    /// It is the packet's sender, whom the kernel looks for to see whether the packet may come from there.
    pub is_source_check: bool,
    /// The table that was asked.
    pub table: u32,
    /// What the route does; `None` if there is none in this table, or if it goes through a nexthop object.
    pub kind: Option<RouteKind>,
    /// Why the packet cannot take it; `EAGAIN` if there is none in this table.
    pub error: Option<Errno>,
    /// Index of the device that it leads through.
    pub ifindex: Option<Ifindex>,
    /// The device's name.
    pub device: Option<DeviceName>,
    /// The next hop; `None` when the destination is on the link.
    pub gateway: Option<IpAddr>,
}

impl Lookup {
    /// Whether the table has no route, so that the next one is asked.
    pub fn is_miss(&self) -> bool {
        self.error == Some(Errno::EAGAIN)
    }

    pub(super) fn decode(record: &netobs_ebpf::Lookup) -> Self {
        let error = (record.error != 0).then(|| Errno::from_raw(record.error.wrapping_neg()));
        let kind = RouteKind::of_number(record.kind).or_else(|| RouteKind::of_error(error?));
        let device: Vec<u8> = record.device.iter().flat_map(|word| word.to_ne_bytes()).collect();
        Self {
            destination: address(record.family, record.destination),
            is_source_check: record.source_check != 0,
            table: record.table,
            kind,
            error: error.or_else(|| kind?.error()),
            ifindex: (record.ifindex != 0).then_some(Ifindex(record.ifindex)),
            device: <[u8; 16]>::try_from(device).ok().filter(|name| *name != [0; 16]).map(DeviceName),
            gateway: address(record.gateway_family, record.gateway),
        }
    }
}

/// An address as the kernel keeps it: in network order, IPv4 in the first word.
pub(super) fn address(family: u8, words: [u32; 4]) -> Option<IpAddr> {
    let [first, second, third, fourth] = words.map(u32::from_be);
    match family {
        AF_INET => Some(Ipv4Addr::from_bits(first).into()),
        AF_INET6 => {
            let bits = [first, second, third, fourth].iter().fold(0, |bits, word| bits << 32 | u128::from(*word));
            Some(Ipv6Addr::from_bits(bits).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_network_order() {
        let four = u32::from_ne_bytes([203, 0, 113, 1]);
        assert_eq!(address(AF_INET, [four, 0, 0, 0]), Some("203.0.113.1".parse().unwrap()));
        let six = [[0xfd, 0, 0, 0], [0; 4], [0; 4], [0, 0, 0, 7]].map(u32::from_ne_bytes);
        assert_eq!(address(AF_INET6, six), Some("fd00::7".parse().unwrap()));
        assert_eq!(address(0, [four, 0, 0, 0]), None);
    }

    #[test]
    fn a_route_that_refuses_is_known_by_its_kind_or_by_its_error() {
        let by_error = Lookup::decode(&netobs_ebpf::Lookup { error: -113, ..Default::default() });
        let by_kind = Lookup::decode(&netobs_ebpf::Lookup { kind: 7, ..Default::default() });
        for lookup in [by_error, by_kind] {
            assert_eq!((lookup.kind, lookup.error), (Some(RouteKind::Unreachable), Some(Errno::EHOSTUNREACH)));
        }
        let miss = Lookup::decode(&netobs_ebpf::Lookup { error: -11, ..Default::default() });
        assert!(miss.is_miss() && miss.kind.is_none());
    }
}
