//! Changes that only whoever breaks or mends a network asks for.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoBridgePort, InfoPortData, InfoPortKind, LinkAttribute, LinkInfo, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};

use super::change::family;
use super::{Ifindex, MacAddress, Request, Result, Socket};

/// Makes a neighbour entry that is never asked for again, in place of the one there is.
pub fn set_neighbour(link: Ifindex, called: &str, address: IpAddr, mac: MacAddress) -> Request {
    let mut message = neighbour(link, address);
    message.header.state = NeighbourState::Permanent;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
    let what = format!("set neighbour {address} on {called}");
    Request::new(what, RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Forgets a neighbour, a permanent one too.
pub fn forget_neighbour(link: Ifindex, called: &str, address: IpAddr) -> Request {
    let message = neighbour(link, address);
    Request::new(format!("forget {address} on {called}"), RouteNetlinkMessage::DelNeighbour(message), 0)
}

/// Lets a bridge send a frame out by the port it came in by, or not.
pub fn set_hairpin(port: Ifindex, called: &str, on: bool) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = port.0;
    let data = InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(on)]);
    message
        .attributes
        .push(LinkAttribute::LinkInfo(vec![LinkInfo::PortKind(InfoPortKind::Bridge), LinkInfo::PortData(data)]));
    // Only RTM_NEWLINK hands a port's data to its bridge (`rtnl_changelink`).
    Request::new(format!("set hairpin of {called}"), RouteNetlinkMessage::NewLink(message), 0)
}

impl Socket {
    /// The addresses of every neighbour known on a link, IPv4 and IPv6.
    pub fn neighbours_on(&mut self, link: Ifindex) -> Result<Vec<IpAddr>> {
        let question = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        let mut addresses = Vec::new();
        for message in self.dump("list neighbours", &question)? {
            let RouteNetlinkMessage::NewNeighbour(message) = message else { continue };
            if message.header.ifindex != link.0 {
                continue;
            }
            addresses.extend(message.attributes.iter().find_map(|attribute| match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(IpAddr::V4(*address)),
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
                _ => None,
            }));
        }
        Ok(addresses)
    }
}

fn neighbour(link: Ifindex, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = link.0;
    message.attributes.push(NeighbourAttribute::Destination(address.into()));
    message
}
