//! The changes that can be asked for, each a [`Request`] named after what it does and to what.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    BridgeStpState, InfoBridge, InfoData, InfoKind, InfoVeth, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Ifindex, MacAddress, Request};
use crate::netns::Netns;

/// A link to be made: everything it starts its life with, so that no second request is needed.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewLink<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its number; the kernel chooses one if this is `None`. One that is taken is refused.
    pub ifindex: Option<Ifindex>,
    /// Its link-layer address; random if `None`.
    pub mac: Option<MacAddress>,
    /// Its MTU; the driver's default if `None`.
    pub mtu: Option<u32>,
}

impl NewLink<'_> {
    fn message(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = self.ifindex.map_or(0, |index| index.0);
        message.attributes.push(LinkAttribute::IfName(self.name.to_owned()));
        message.attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        message.attributes.extend(self.mtu.map(LinkAttribute::Mtu));
        message
    }
}

/// Makes a veth pair: `near` in the socket's namespace, `far` straight in `far_netns`, so that neither end ever exists
/// anywhere else, nor under another name.
pub fn add_veth(near: NewLink<'_>, far: NewLink<'_>, far_netns: &Netns) -> Request {
    let mut peer = far.message();
    peer.attributes.push(LinkAttribute::NetNsFd(far_netns.as_fd().as_raw_fd()));
    let mut message = near.message();
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    create(format!("add veth {} with peer {}", near.name, far.name), RouteNetlinkMessage::NewLink(message))
}

/// Makes a bridge without spanning tree and without forward delay: a port forwards as soon as it has carrier.
pub fn add_bridge(bridge: NewLink<'_>) -> Request {
    let mut message = bridge.message();
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Bridge),
        LinkInfo::Data(InfoData::Bridge(vec![
            InfoBridge::StpState(BridgeStpState::Disabled),
            InfoBridge::ForwardDelay(0),
        ])),
    ]));
    create(format!("add bridge {}", bridge.name), RouteNetlinkMessage::NewLink(message))
}

/// What a VXLAN device needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Tunnel {
    /// The VXLAN network identifier.
    pub id: u32,
    /// The address that its packets come from.
    pub local: IpAddr,
    /// Where everything goes whose destination has not been learned.
    pub remote: IpAddr,
    /// The UDP port of both ends.
    pub port: u16,
}

/// Makes a VXLAN device with one other end.
pub fn add_vxlan(vxlan: NewLink<'_>, tunnel: Tunnel) -> Request {
    let local = match tunnel.local {
        IpAddr::V4(address) => InfoVxlan::Local(address),
        IpAddr::V6(address) => InfoVxlan::Local6(address),
    };
    // The kernel takes a unicast address for the remote end as well.
    let remote = match tunnel.remote {
        IpAddr::V4(address) => InfoVxlan::Group(address),
        IpAddr::V6(address) => InfoVxlan::Group6(address),
    };
    let mut message = vxlan.message();
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Vxlan),
        LinkInfo::Data(InfoData::Vxlan(vec![
            InfoVxlan::Id(tunnel.id),
            local,
            remote,
            InfoVxlan::Port(tunnel.port),
            InfoVxlan::Learning(true),
        ])),
    ]));
    create(format!("add vxlan {}", vxlan.name), RouteNetlinkMessage::NewLink(message))
}

/// Changes to a link that exists; what is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkChange<'a> {
    /// Switch it on or off.
    pub up: Option<bool>,
    /// Make it a port of this bridge, or, with `Some(None)`, of none.
    pub master: Option<Option<Ifindex>>,
    /// Its MTU in bytes.
    pub mtu: Option<u32>,
    /// Its link-layer address.
    pub mac: Option<MacAddress>,
    /// The text that `ip link` shows as `alias`.
    pub ifalias: Option<&'a str>,
    /// Another name; the link must be down.
    pub name: Option<&'a str>,
    /// Move it to another namespace, where it arrives switched off.
    pub netns: Option<&'a Netns>,
}

/// Changes a link; `called` is its name, for the error.
pub fn set_link(link: Ifindex, called: &str, change: LinkChange<'_>) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = link.0;
    if let Some(up) = change.up {
        message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        message.header.change_mask = LinkFlags::Up;
    }
    let master = change.master.map(|master| LinkAttribute::Controller(master.map_or(0, |master| master.0)));
    message.attributes.extend(master);
    message.attributes.extend(change.mtu.map(LinkAttribute::Mtu));
    message.attributes.extend(change.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    message.attributes.extend(change.ifalias.map(|alias| LinkAttribute::IfAlias(alias.to_owned())));
    message.attributes.extend(change.name.map(|name| LinkAttribute::IfName(name.to_owned())));
    message.attributes.extend(change.netns.map(|netns| LinkAttribute::NetNsFd(netns.as_fd().as_raw_fd())));
    Request::new(format!("set link {called}"), RouteNetlinkMessage::SetLink(message), 0)
}

/// Deletes a link; of a veth, its peer goes too.
pub fn delete_link(link: Ifindex, called: &str) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = link.0;
    Request::new(format!("delete link {called}"), RouteNetlinkMessage::DelLink(message), 0)
}

/// Gives a link an address; the kernel adds the route to its prefix.
pub fn add_address(link: Ifindex, called: &str, address: IpAddr, prefix_length: u8) -> Request {
    let mut message = AddressMessage::default();
    message.header.index = link.0;
    message.header.prefix_len = prefix_length;
    message.header.family = family(address);
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(address));
    message.attributes.extend(broadcast(address, prefix_length).map(AddressAttribute::Broadcast));
    create(format!("add address {address}/{prefix_length} to {called}"), RouteNetlinkMessage::NewAddress(message))
}

/// Adds a route by way of `gateway`, or straight to `device`, which is a number and a name; `None` as destination is the
/// default route.
pub fn add_route(
    destination: Option<(IpAddr, u8)>,
    gateway: Option<IpAddr>,
    device: Option<(Ifindex, &str)>,
) -> Request {
    let (message, shown) = route(destination, gateway, device);
    create(format!("add route {shown}"), RouteNetlinkMessage::NewRoute(message))
}

fn route(
    destination: Option<(IpAddr, u8)>,
    gateway: Option<IpAddr>,
    device: Option<(Ifindex, &str)>,
) -> (RouteMessage, String) {
    let mut message = RouteMessage::default();
    message.header.address_family =
        gateway.or(destination.map(|(prefix, _)| prefix)).map_or(AddressFamily::Inet, family);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = if gateway.is_some() { RouteScope::Universe } else { RouteScope::Link };
    message.header.kind = RouteType::Unicast;
    let mut shown = "default".to_owned();
    if let Some((prefix, length)) = destination {
        message.header.destination_prefix_length = length;
        message.attributes.push(RouteAttribute::Destination(prefix.into()));
        shown = format!("{prefix}/{length}");
    }
    if let Some(gateway) = gateway {
        message.attributes.push(RouteAttribute::Gateway(gateway.into()));
        shown += &format!(" via {gateway}");
    }
    if let Some((number, name)) = device {
        message.attributes.push(RouteAttribute::Oif(number.0));
        shown += &format!(" dev {name}");
    }
    (message, shown)
}

fn create(what: String, message: RouteNetlinkMessage) -> Request {
    Request::new(what, message, NLM_F_CREATE | NLM_F_EXCL)
}

pub(super) fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// The highest address of an IPv4 prefix. A /31 and a /32 have none (RFC 3021).
fn broadcast(address: IpAddr, prefix_length: u8) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) if prefix_length < 31 => {
            let host_bits = u32::MAX.checked_shr(u32::from(prefix_length)).unwrap_or(0);
            Some(Ipv4Addr::from_bits(address.to_bits() | host_bits))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}
