//! Asking the kernel which route it would take.

use std::net::IpAddr;

use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::route::ip;
use super::{Error, Ifindex, Result, Socket};

/// A route that the kernel found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The route's prefix; `None` is the default route.
    pub destination: Option<IpAddr>,
    /// Length of that prefix.
    pub prefix_length: u8,
    /// The next hop; `None` when the destination is on the link, or when there are several.
    pub gateway: Option<IpAddr>,
    /// The links packets leave by, several for a multipath route.
    pub devices: Vec<Ifindex>,
    /// The routing table; 254 is `main`.
    pub table: u32,
    /// The destination is one of the namespace's own addresses, or a broadcast.
    pub local: bool,
    /// The address that a packet of the namespace's own would leave with. Only the route that is taken says so, not the
    /// entry of a table.
    pub source: Option<IpAddr>,
}

/// A packet for which a route is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteQuery {
    /// Where it goes.
    pub destination: IpAddr,
    /// Where it comes from. Of a packet that is not forwarded, an address of the namespace.
    pub source: Option<IpAddr>,
    /// The device it came in by; `None` if it is the namespace's own.
    pub input: Option<Ifindex>,
}

/// Why there is no way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No route matches.
    NoRoute,
    /// An `unreachable` route matches.
    Unreachable,
    /// A `prohibit` route or rule matches.
    Prohibited,
    /// A `blackhole` route or rule matches.
    Blackhole,
}

impl Refusal {
    /// The errno that each becomes (`fib_props` in `fib_semantics.c`, `fib6_prop` in `net/ipv6/route.c`).
    fn from_errno(errno: i32) -> Option<Self> {
        match errno {
            libc::ENETUNREACH => Some(Self::NoRoute),
            libc::EHOSTUNREACH => Some(Self::Unreachable),
            libc::EACCES => Some(Self::Prohibited),
            libc::EINVAL => Some(Self::Blackhole),
            _ => None,
        }
    }
}

/// What the kernel says when asked for a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteAnswer {
    /// The route of the routing table that matches.
    Found(Found),
    /// There is none, or one that forbids it.
    Refused(Refusal),
}

impl Socket {
    /// The entry of the routing tables that a packet from this namespace to `destination` would match: `ip route get
    /// fibmatch`. Rules by source address see `source`, which must be an address of the namespace.
    pub fn route_to(&mut self, destination: IpAddr, source: Option<IpAddr>) -> Result<RouteAnswer> {
        let what = format!("look up the route to {destination}");
        match self.get(&what, question(destination, source, RouteFlags::FibMatch)) {
            Ok(RouteNetlinkMessage::NewRoute(message)) => Ok(RouteAnswer::Found(Found::from_message(&message))),
            Ok(_) => Err(Error::Decode { what, reason: "not a route".to_owned() }),
            Err(error) => match error.errno().and_then(Refusal::from_errno) {
                Some(refusal) => Ok(RouteAnswer::Refused(refusal)),
                None => Err(error),
            },
        }
    }

    /// The route that a packet would take now: `ip route get`. With an input device the kernel goes through all that it
    /// does with a packet that comes in by it, and where it would not let it pass refuses with the errno of that:
    /// `EXDEV` for the reverse path filter (`fib_validate_source`), `EHOSTUNREACH` where it does not forward.
    pub fn route_of(&mut self, query: RouteQuery) -> Result<RouteAnswer> {
        let RouteQuery { destination, source, input } = query;
        let what = format!("look up the route to {destination}");
        let mut message = question(destination, source, RouteFlags::empty());
        if let (RouteNetlinkMessage::GetRoute(message), Some(input)) = (&mut message, input) {
            message.attributes.push(RouteAttribute::Iif(input.0));
        }
        match self.get(&what, message) {
            Ok(RouteNetlinkMessage::NewRoute(message)) => Ok(RouteAnswer::Found(Found::from_message(&message))),
            Ok(_) => Err(Error::Decode { what, reason: "not a route".to_owned() }),
            Err(error) => match error.errno().and_then(Refusal::from_errno) {
                Some(refusal) => Ok(RouteAnswer::Refused(refusal)),
                None => Err(error),
            },
        }
    }

    /// The MTU that the kernel keeps for packets to `destination`, where it is not the device's: set with the route, or
    /// learnt from an ICMP error.
    pub fn path_mtu(&mut self, destination: IpAddr) -> Result<Option<u32>> {
        let what = format!("look up the path MTU to {destination}");
        let RouteNetlinkMessage::NewRoute(message) =
            self.get(&what, question(destination, None, RouteFlags::empty()))?
        else {
            return Err(Error::Decode { what, reason: "not a route".to_owned() });
        };
        let metrics = message.attributes.iter().filter_map(|attribute| match attribute {
            RouteAttribute::Metrics(metrics) => Some(metrics),
            _ => None,
        });
        Ok(metrics.flatten().find_map(|metric| match metric {
            RouteMetric::Mtu(mtu) => Some(*mtu),
            _ => None,
        }))
    }
}

fn question(destination: IpAddr, source: Option<IpAddr>, flags: RouteFlags) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    let (family, length) = match destination {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.header.address_family = family;
    message.header.destination_prefix_length = length;
    message.header.flags = flags;
    message.attributes.push(RouteAttribute::Destination(destination.into()));
    if let Some(source) = source {
        message.header.source_prefix_length = length;
        message.attributes.push(RouteAttribute::Source(source.into()));
    }
    RouteNetlinkMessage::GetRoute(message)
}

impl Found {
    fn from_message(message: &RouteMessage) -> Self {
        let RouteHeader { destination_prefix_length, table, kind, .. } = message.header;
        let mut found = Self {
            destination: None,
            prefix_length: destination_prefix_length,
            gateway: None,
            devices: Vec::new(),
            table: u32::from(table),
            local: matches!(kind, RouteType::Local | RouteType::Broadcast | RouteType::Anycast | RouteType::Multicast),
            source: None,
        };
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(address) if destination_prefix_length > 0 => {
                    found.destination = ip(address);
                }
                RouteAttribute::Gateway(address) => found.gateway = ip(address),
                // An IPv4 route by an IPv6 next hop.
                RouteAttribute::Via(RouteVia::Inet6(address)) => found.gateway = Some(IpAddr::V6(*address)),
                RouteAttribute::Via(RouteVia::Inet(address)) => found.gateway = Some(IpAddr::V4(*address)),
                RouteAttribute::PrefSource(address) => found.source = ip(address),
                RouteAttribute::Oif(device) => found.devices.push(Ifindex(*device)),
                RouteAttribute::MultiPath(hops) => {
                    found
                        .devices
                        .extend(hops.iter().map(|RouteNextHop { interface_index, .. }| Ifindex(*interface_index)));
                }
                // The header's table is 8 bits wide; this attribute holds the whole number.
                RouteAttribute::Table(table) => found.table = *table,
                _ => {}
            }
        }
        found
    }
}
