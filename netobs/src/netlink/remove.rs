//! Taking away what [`super::change`] adds.

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteScope};

use super::change::family;
use super::{Ifindex, Request};

/// Takes an address from a link, and with it the routes that need it.
pub fn delete_address(link: Ifindex, called: &str, address: IpAddr, prefix_length: u8) -> Request {
    let mut message = AddressMessage::default();
    message.header.index = link.0;
    message.header.prefix_len = prefix_length;
    message.header.family = family(address);
    message.attributes.push(AddressAttribute::Local(address));
    let what = format!("delete address {address}/{prefix_length} from {called}");
    Request::new(what, RouteNetlinkMessage::DelAddress(message), 0)
}

/// Deletes a route of the main table, known by what is said of it; `None` as destination is the default route, of the
/// family of its next hop.
pub fn delete_route(to: Option<(IpAddr, u8)>, via: Option<IpAddr>, device: Option<Ifindex>) -> Request {
    let mut message = RouteMessage::default();
    let of = to.map(|(address, _)| address).or(via);
    message.header.address_family = of.map_or(netlink_packet_route::AddressFamily::Inet, family);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    // Any: the kernel compares only what is said.
    message.header.scope = RouteScope::NoWhere;
    let mut shown = to.map_or_else(|| "default".to_owned(), |(address, length)| format!("{address}/{length}"));
    if let Some((address, length)) = to {
        message.header.destination_prefix_length = length;
        message.attributes.push(RouteAttribute::Destination(address.into()));
    }
    if let Some(via) = via {
        message.attributes.push(RouteAttribute::Gateway(via.into()));
        shown += &format!(" via {via}");
    }
    message.attributes.extend(device.map(|device| RouteAttribute::Oif(device.0)));
    Request::new(format!("delete route {shown}"), RouteNetlinkMessage::DelRoute(message), 0)
}
