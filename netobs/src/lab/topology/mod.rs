//! What a lab consists of, as data. One builder reads it; nothing about a particular lab is written in code.
//!
//! These types are the one definition of the format of topology files: `serde` reads them, [`schema`] describes them
//! with the texts of their own documentation, [`parse`] checks a file against that description and [`Topology::check`]
//! against everything that the kernel would refuse.

mod builtin;
mod check;
mod document;
mod file;
mod guess;
mod mistake;
mod node;
mod prefix;
mod schema;
mod segment;
mod size;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use builtin::{Builtin, default_topology};
pub use file::{Mistakes, find, parse};
pub use mistake::{Mistake, Place, Step};
pub use node::{Bridge, Lent, Masquerade, Node, Protocol, Published, Route, Service, Snat, Vxlan};
pub use prefix::{NotAPrefix, Prefix};
pub use schema::schema;
pub(super) use segment::{Station, segments};

/// A whole network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// What it is called; the file's own name unless said.
    pub name: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// The machines and containers, in the order they are shown.
    pub nodes: Vec<Node>,
    /// The cables between them.
    pub links: Vec<Link>,
    /// Commands to try in it, in the order in which they teach something.
    pub experiments: Vec<Experiment>,
}

/// A cable: a veth pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Its two ends. Both may be in the same node.
    pub ends: [End; 2],
}

/// One end of a cable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct End {
    /// The node it is in.
    #[schemars(required)]
    pub node: String,
    /// Its device name there, at most 15 characters.
    #[schemars(required)]
    pub device: String,
    /// The bridge of that node it is a port of.
    pub bridge: Option<String>,
    /// Its addresses, each with the length of the prefix that is on the same link: `10.40.0.2/24`, `fd00::2/64`.
    pub addresses: Vec<Prefix>,
    /// Its MTU in bytes; 1500 unless said.
    #[schemars(range(min = 68, max = 65535))]
    pub mtu: Option<u32>,
    /// Leave it switched off.
    pub down: bool,
}

/// A command to try in a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// The node it runs in.
    pub node: String,
    /// The command, as typed.
    pub run: String,
    /// What it shows, in a few words.
    pub shows: String,
    /// It ends with a failure, which is the point.
    #[serde(default)]
    pub fails: bool,
}

impl Topology {
    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The ends of links that are in this node.
    pub fn ends_in<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a End> {
        self.links.iter().flat_map(|link| &link.ends).filter(move |end| end.node == node)
    }

    /// The devices of a node but `lo`: its bridges first, then the ends of its cables, then those of tunnels, then
    /// those that are lent.
    pub fn devices_of<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = Device<'a>> {
        devices(node, self.ends_in(&node.name))
    }

    /// Every address of a node with the device it is on: bridges first, then cables, then tunnels, then `lo`.
    pub fn addresses_of<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = (&'a str, Prefix)> {
        addresses(node, self.devices_of(node))
    }

    /// Whether a device of a node has carrier once the lab is up: the other end of a cable is switched on as well, and a
    /// bridge has at least one such port.
    pub fn has_carrier(&self, node: &Node, device: Device<'_>) -> bool {
        let live = |device: &str| {
            let own = |end: &&End| end.node == node.name && end.device == device;
            self.links.iter().any(|link| link.ends.iter().any(|end| own(&end)) && link.ends.iter().all(|end| !end.down))
        };
        match device {
            Device::End(end) => live(&end.device),
            Device::Bridge(bridge) => {
                let port = |port: &Device<'_>| port.bridge() == Some(bridge.name.as_str());
                !bridge.down && self.devices_of(node).filter(port).any(|port| self.has_carrier(node, port))
            }
            Device::Vxlan(vxlan) => !vxlan.down,
            // That is up to what is at its other end.
            Device::Lent(_) => false,
        }
    }

    /// The MTU that a device of a node has: its own, or of a bridge without one, that of its smallest port.
    pub fn mtu_of(&self, node: &Node, device: Device<'_>) -> u32 {
        const ETHERNET: u32 = 1500;
        let Device::Bridge(bridge) = device else { return device.mtu().unwrap_or(ETHERNET) };
        let ports = self.devices_of(node).filter(|port| port.bridge() == Some(bridge.name.as_str()));
        let smallest = ports.map(|port| self.mtu_of(node, port)).min();
        bridge.mtu.or(smallest).unwrap_or(ETHERNET)
    }

    /// The address by which other nodes reach this one.
    pub fn first_ipv4(&self, node: &str) -> Option<Ipv4Addr> {
        first_ipv4(self.addresses_of(self.node(node)?))
    }

    /// Every node that has such an address, and the address, without a search for each.
    pub fn first_ipv4_of_each(&self) -> impl Iterator<Item = (&Node, Ipv4Addr)> {
        let mut ends: HashMap<&str, Vec<&End>> = HashMap::new();
        for end in self.links.iter().flat_map(|link| &link.ends) {
            ends.entry(&end.node).or_default().push(end);
        }
        self.nodes.iter().filter_map(move |node| {
            let cables = ends.get(node.name.as_str()).into_iter().flatten().copied();
            Some((node, first_ipv4(addresses(node, devices(node, cables)))?))
        })
    }
}

fn devices<'a>(node: &'a Node, cables: impl Iterator<Item = &'a End>) -> impl Iterator<Item = Device<'a>> {
    let bridges = node.bridges.iter().map(Device::Bridge);
    let tunnels = node.vxlans.iter().map(Device::Vxlan);
    bridges.chain(cables.map(Device::End)).chain(tunnels).chain(node.lent.iter().map(Device::Lent))
}

fn addresses<'a>(node: &'a Node, devices: impl Iterator<Item = Device<'a>>) -> impl Iterator<Item = (&'a str, Prefix)> {
    let all = devices.map(|device| (device.name(), device.addresses())).chain([("lo", node.loopback.as_slice())]);
    all.flat_map(|(device, addresses)| addresses.iter().map(move |address| (device, *address)))
}

fn first_ipv4<'a>(mut addresses: impl Iterator<Item = (&'a str, Prefix)>) -> Option<Ipv4Addr> {
    addresses.find_map(|(_, prefix)| match prefix.address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    })
}

/// A device of a node.
#[derive(Clone, Copy, Debug)]
pub enum Device<'a> {
    /// A bridge.
    Bridge(&'a Bridge),
    /// An end of a cable.
    End(&'a End),
    /// An end of a tunnel.
    Vxlan(&'a Vxlan),
    /// A device of the machine's own.
    Lent(&'a Lent),
}

impl<'a> Device<'a> {
    /// Its name.
    pub fn name(self) -> &'a str {
        match self {
            Self::Bridge(bridge) => &bridge.name,
            Self::End(end) => &end.device,
            Self::Vxlan(vxlan) => &vxlan.name,
            Self::Lent(lent) => lent.name(),
        }
    }

    /// Its addresses.
    pub fn addresses(self) -> &'a [Prefix] {
        match self {
            Self::Bridge(bridge) => &bridge.addresses,
            Self::End(end) => &end.addresses,
            Self::Vxlan(vxlan) => &vxlan.addresses,
            Self::Lent(lent) => &lent.addresses,
        }
    }

    /// Its MTU, if the topology says one.
    pub fn mtu(self) -> Option<u32> {
        match self {
            Self::Bridge(bridge) => bridge.mtu,
            Self::End(end) => end.mtu,
            Self::Vxlan(vxlan) => Some(vxlan.mtu()),
            Self::Lent(_) => None,
        }
    }

    /// The bridge it is a port of.
    pub fn bridge(self) -> Option<&'a str> {
        match self {
            Self::Bridge(_) => None,
            Self::End(end) => end.bridge.as_deref(),
            Self::Vxlan(vxlan) => vxlan.bridge.as_deref(),
            Self::Lent(lent) => lent.bridge.as_deref(),
        }
    }

    /// Whether it is left switched off.
    pub fn is_down(self) -> bool {
        match self {
            Self::Bridge(bridge) => bridge.down,
            Self::End(end) => end.down,
            Self::Vxlan(vxlan) => vxlan.down,
            Self::Lent(_) => false,
        }
    }
}
