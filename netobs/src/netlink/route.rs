use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType};

use super::{Ifindex, Result, Socket};

/// A route as `ip route show table all` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `None` is the default route.
    pub destination: Option<IpAddr>,
    /// Length of the destination's prefix, 0 for the default route.
    pub prefix_length: u8,
    /// The next hop; `None` when the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The link packets leave by.
    pub device: Option<Ifindex>,
    /// The address packets of our own leave with.
    pub preferred_source: Option<IpAddr>,
    /// The routing table; 254 is `main`.
    pub table: u32,
    /// The metric: the lower wins between routes of equal length.
    pub priority: u32,
    /// Who made it: `RTPROT_KERNEL` (2) for routes that come with addresses, `RTPROT_RA` (9) for those a router told of.
    pub protocol: u8,
    /// An ordinary route to a host or net, not `local`, `broadcast`, `blackhole` and the like.
    pub unicast: bool,
    /// To an address of the namespace's own: packets are delivered, not sent on.
    pub local: bool,
}

impl Route {
    /// The number of the table that `ip route` shows when no other is asked for.
    pub const MAIN: u32 = 254;
    /// The number of the table that holds the namespace's own addresses and their broadcast addresses.
    pub const LOCAL: u32 = 255;
}

impl Socket {
    /// All routes of the namespace, IPv4 and IPv6, of every table.
    pub fn routes(&mut self) -> Result<Vec<Route>> {
        let question = RouteNetlinkMessage::GetRoute(RouteMessage::default());
        let answers = self.dump("list routes", &question)?;
        Ok(answers.into_iter().filter_map(Route::from_message).collect())
    }
}

impl Route {
    fn from_message(message: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewRoute(message) = message else { return None };
        let RouteHeader { destination_prefix_length, table, kind, protocol, .. } = message.header;
        let mut route = Self {
            destination: None,
            prefix_length: destination_prefix_length,
            gateway: None,
            device: None,
            preferred_source: None,
            table: u32::from(table),
            priority: 0,
            protocol: protocol.into(),
            unicast: kind == RouteType::Unicast,
            local: kind == RouteType::Local,
        };
        for attribute in message.attributes {
            match attribute {
                RouteAttribute::Destination(address) => route.destination = ip(&address),
                RouteAttribute::Gateway(address) => route.gateway = ip(&address),
                RouteAttribute::PrefSource(address) => route.preferred_source = ip(&address),
                RouteAttribute::Oif(device) => route.device = Some(Ifindex(device)),
                // The header's table is 8 bits wide; this attribute holds the whole number.
                RouteAttribute::Table(table) => route.table = table,
                RouteAttribute::Priority(priority) => route.priority = priority,
                _ => {}
            }
        }
        Some(route)
    }
}

pub(super) fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}
