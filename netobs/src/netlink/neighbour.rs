use std::net::IpAddr;

use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use serde::Serialize;

use super::{Error, Ifindex, MacAddress, Result, Socket};

/// What the kernel knows of a neighbour's link-layer address (`NUD_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NeighbourState {
    /// Asked, and not answered yet.
    Incomplete,
    /// Confirmed a moment ago.
    Reachable,
    /// Known, not confirmed lately.
    Stale,
    /// Used, to be confirmed soon.
    Delay,
    /// Being asked again.
    Probe,
    /// Asked, and never answered.
    Failed,
    /// The link needs no addresses.
    Noarp,
    /// Set by an administrator.
    Permanent,
    /// Nothing at all.
    None,
}

impl NeighbourState {
    /// As `ip neigh` prints it, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Reachable => "reachable",
            Self::Stale => "stale",
            Self::Delay => "delay",
            Self::Probe => "probe",
            Self::Failed => "failed",
            Self::Noarp => "noarp",
            Self::Permanent => "permanent",
            Self::None => "none",
        }
    }
}

/// An entry of the neighbour table, as `ip neigh` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The link it is on.
    pub ifindex: Ifindex,
    /// Its address.
    pub address: IpAddr,
    /// `None` for a state that the kernel has and we do not know.
    pub state: Option<NeighbourState>,
    /// Its link-layer address, where one is known and has Ethernet's size.
    pub mac: Option<MacAddress>,
}

impl Socket {
    /// The entry for an address on a link, `None` if there is none (5.0 and later can be asked for a single one).
    pub fn neighbour(&mut self, link: Ifindex, address: IpAddr) -> Result<Option<Neighbour>> {
        let what = format!("look up neighbour {address}");
        let mut message = NeighbourMessage::default();
        message.header.ifindex = link.0;
        let (family, destination) = match address {
            IpAddr::V4(address) => (AddressFamily::Inet, NeighbourAddress::Inet(address)),
            IpAddr::V6(address) => (AddressFamily::Inet6, NeighbourAddress::Inet6(address)),
        };
        message.header.family = family;
        message.attributes.push(NeighbourAttribute::Destination(destination));
        match self.get(&what, RouteNetlinkMessage::GetNeighbour(message)) {
            Ok(RouteNetlinkMessage::NewNeighbour(message)) => Ok(Some(Neighbour::from_message(&message, address))),
            Err(error) if error.errno() == Some(libc::ENOENT) => Ok(None),
            Ok(_) => Err(Error::Decode { what, reason: "not a neighbour".to_owned() }),
            Err(error) => Err(error),
        }
    }
}

impl Neighbour {
    fn from_message(message: &NeighbourMessage, address: IpAddr) -> Self {
        use netlink_packet_route::neighbour::NeighbourState as Kernel;
        let state = match message.header.state {
            Kernel::Incomplete => Some(NeighbourState::Incomplete),
            Kernel::Reachable => Some(NeighbourState::Reachable),
            Kernel::Stale => Some(NeighbourState::Stale),
            Kernel::Delay => Some(NeighbourState::Delay),
            Kernel::Probe => Some(NeighbourState::Probe),
            Kernel::Failed => Some(NeighbourState::Failed),
            Kernel::Noarp => Some(NeighbourState::Noarp),
            Kernel::Permanent => Some(NeighbourState::Permanent),
            Kernel::None => Some(NeighbourState::None),
            _ => None,
        };
        let mac = message.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => bytes.clone().try_into().ok().map(MacAddress),
            _ => None,
        });
        Self { ifindex: Ifindex(message.header.ifindex), address, state, mac }
    }
}
