use std::fmt;
use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BridgePortState, InfoBridge, InfoBridgePort, InfoData, InfoPortData, InfoVlan, InfoVxlan, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage, State,
};
use serde::Serialize;

use super::{Error, Ifindex, NetnsId, Result, Socket};

/// A link-layer address as the kernel prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Whether it is for everybody.
    pub fn is_broadcast(self) -> bool {
        self.0 == [0xff; 6]
    }

    /// Whether it is for more than one: broadcast or multicast.
    pub fn is_group(self) -> bool {
        let [first, ..] = self.0;
        first & 1 != 0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// RFC 2863 operational state, by the kernel's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operstate {
    /// The driver does not say: normal for `lo` and for many virtual links, and no fault.
    Unknown,
    /// The device is gone.
    NotPresent,
    /// No carrier.
    Down,
    /// The link below, or the peer, is down.
    LowerLayerDown,
    /// In a test mode.
    Testing,
    /// Waiting for something outside, such as 802.1X.
    Dormant,
    /// Packets pass.
    Up,
}

/// Where a VXLAN device leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vxlan {
    /// The VXLAN network identifier.
    pub id: Option<u32>,
    /// The address its packets come from.
    pub local: Option<IpAddr>,
    /// Where everything goes whose destination has not been learned.
    pub remote: Option<IpAddr>,
    /// The UDP port of both ends.
    pub port: Option<u16>,
}

impl Vxlan {
    fn from_attributes(attributes: &[InfoVxlan]) -> Self {
        let mut vxlan = Self::default();
        for attribute in attributes {
            match attribute {
                InfoVxlan::Id(id) => vxlan.id = Some(*id),
                InfoVxlan::Local(address) => vxlan.local = Some(IpAddr::V4(*address)),
                InfoVxlan::Local6(address) => vxlan.local = Some(IpAddr::V6(*address)),
                InfoVxlan::Group(address) => vxlan.remote = Some(IpAddr::V4(*address)),
                InfoVxlan::Group6(address) => vxlan.remote = Some(IpAddr::V6(*address)),
                InfoVxlan::Port(port) => vxlan.port = Some(*port),
                _ => {}
            }
        }
        vxlan
    }
}

/// One link as `ip link` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub ifindex: Ifindex,
    /// Its name in its namespace.
    pub name: String,
    /// The driver's kind (`veth`, `bridge`, …), `None` for hardware and `lo`.
    pub kind: Option<String>,
    /// The bridge or bond it is a port of.
    pub master: Option<Ifindex>,
    /// The link it sits on, or, for a veth, its peer; a number in the namespace `link_netnsid` names.
    pub peer: Option<Ifindex>,
    /// The namespace of `peer`; `None` when it is in this very namespace.
    pub link_netnsid: Option<NetnsId>,
    /// In bytes, without the link-layer header.
    pub mtu: u32,
    /// RFC 2863 state.
    pub operstate: Operstate,
    /// `IFF_UP`: switched on by the administrator.
    pub up: bool,
    /// `IFF_LOWER_UP`: has carrier.
    pub lower_up: bool,
    /// `IFF_LOOPBACK`.
    pub loopback: bool,
    /// Its link-layer address, if it has one of Ethernet's size.
    pub mac: Option<MacAddress>,
    /// Of a VXLAN device: where it leads.
    pub vxlan: Option<Vxlan>,
    /// Of a bridge's port: whether the bridge forwards through it (spanning tree state). `None` for any other link.
    pub forwarding: Option<bool>,
    /// Of a bridge's port: whether a frame may leave by it that came in by it.
    pub hairpin: Option<bool>,
    /// Of a bridge's port: whether it exchanges no frames with other ports that are isolated, too.
    pub isolated: Option<bool>,
    /// Of a bridge: whether it shows IPv4 packets that only cross it to iptables and nft, whatever the sysctl says.
    pub nf_call_iptables: Option<bool>,
    /// Of a VLAN device: its number.
    pub vlan: Option<u16>,
    /// The text an administrator attached (`ip link set … alias`).
    pub ifalias: Option<String>,
}

impl Socket {
    /// All links of the namespace, by number.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        let what = "list links";
        let mut links = Vec::new();
        for message in self.dump(what, &RouteNetlinkMessage::GetLink(LinkMessage::default()))? {
            if let RouteNetlinkMessage::NewLink(message) = message {
                links.push(Link::from_message(message));
            }
        }
        links.sort_by_key(|link| link.ifindex);
        Ok(links)
    }

    /// The link of this name, `None` if there is none.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match self.get(&format!("look up link {name}"), RouteNetlinkMessage::GetLink(message)) {
            Ok(RouteNetlinkMessage::NewLink(message)) => Ok(Some(Link::from_message(message))),
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(None),
            Ok(_) => Err(Error::Decode { what: format!("look up link {name}"), reason: "not a link".to_owned() }),
            Err(error) => Err(error),
        }
    }
}

impl Link {
    fn from_message(message: LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            ifindex: Ifindex(message.header.index),
            name: String::new(),
            kind: None,
            master: None,
            peer: None,
            link_netnsid: None,
            mtu: 0,
            operstate: Operstate::Unknown,
            up: flags.contains(LinkFlags::Up),
            lower_up: flags.contains(LinkFlags::LowerUp),
            loopback: flags.contains(LinkFlags::Loopback),
            mac: None,
            vxlan: None,
            forwarding: None,
            hairpin: None,
            isolated: None,
            nf_call_iptables: None,
            vlan: None,
            ifalias: None,
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::IfAlias(alias) => link.ifalias = Some(alias),
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::Controller(master) => link.master = Some(Ifindex(master)),
                // 0: the link below is not visible from here.
                LinkAttribute::Link(peer) if peer != 0 => link.peer = Some(Ifindex(peer)),
                LinkAttribute::LinkNetNsId(id) => link.link_netnsid = NetnsId::from_kernel(id),
                LinkAttribute::OperState(state) => link.operstate = operstate(state),
                LinkAttribute::Address(bytes) => link.mac = bytes.try_into().ok().map(MacAddress),
                LinkAttribute::LinkInfo(infos) => infos.into_iter().for_each(|info| link.take_info(info)),
                _ => {}
            }
        }
        link
    }

    /// What the link's own driver, and that of the bridge it is a port of, say about it.
    fn take_info(&mut self, info: LinkInfo) {
        match info {
            LinkInfo::Kind(kind) => self.kind = Some(kind.to_string()),
            LinkInfo::Data(InfoData::Vxlan(attributes)) => self.vxlan = Some(Vxlan::from_attributes(&attributes)),
            LinkInfo::Data(InfoData::Bridge(attributes)) => {
                self.nf_call_iptables = attributes.iter().find_map(|attribute| match attribute {
                    InfoBridge::NfCallIpTables(on) => Some(*on),
                    _ => None,
                });
            }
            LinkInfo::Data(InfoData::Vlan(attributes)) => {
                self.vlan = attributes.iter().find_map(|attribute| match attribute {
                    InfoVlan::Id(id) => Some(*id),
                    _ => None,
                });
            }
            LinkInfo::PortData(InfoPortData::BridgePort(port)) => {
                for attribute in port {
                    match attribute {
                        InfoBridgePort::State(state) => self.forwarding = Some(state == BridgePortState::Forwarding),
                        InfoBridgePort::HairpinMode(on) => self.hairpin = Some(on),
                        InfoBridgePort::Isolated(on) => self.isolated = Some(on),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

fn operstate(state: State) -> Operstate {
    match state {
        State::NotPresent => Operstate::NotPresent,
        State::Down => Operstate::Down,
        State::LowerLayerDown => Operstate::LowerLayerDown,
        State::Testing => Operstate::Testing,
        State::Dormant => Operstate::Dormant,
        State::Up => Operstate::Up,
        // The kernel's enum ends here; the crate's does not.
        _ => Operstate::Unknown,
    }
}
