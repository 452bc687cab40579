//! What a lab consists of, as data. One builder reads it; nothing about a particular lab is written in code.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::prefix::Prefix;

/// A whole network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// What it is called.
    pub name: String,
    /// The machines and containers, in the order they are shown.
    pub nodes: Vec<Node>,
    /// The cables between them.
    pub links: Vec<Link>,
}

/// A machine or container: a set of namespaces with a process that is PID 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// Its name and hostname.
    pub name: String,
    /// What it stands for, in a few words.
    pub role: String,
    /// Its bridges.
    pub bridges: Vec<Bridge>,
    /// Further addresses on `lo`.
    pub loopback: Vec<Prefix>,
    /// Its routes besides those that come with addresses.
    pub routes: Vec<Route>,
    /// Kernel settings (`net.ipv4.ip_forward` → `1`), written before any link is made.
    pub sysctls: BTreeMap<String, String>,
    /// Sources rewritten to the outgoing link's address.
    pub masquerade: Vec<Masquerade>,
    /// Ports of this node's addresses that lead to another node.
    pub published: Vec<Published>,
    /// Servers that run in it.
    pub services: Vec<Service>,
    /// Name servers in its `/etc/resolv.conf`.
    pub resolvers: Vec<IpAddr>,
    /// The most memory its processes may use together, in bytes.
    pub memory_limit: Option<u64>,
}

/// A bridge in a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bridge {
    /// Its device name.
    pub name: String,
    /// Its own addresses: with one, the bridge is a gateway as well as a switch.
    #[serde(default)]
    pub addresses: Vec<Prefix>,
}

/// A veth pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Its two ends.
    pub ends: [End; 2],
}

/// One end of a veth pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct End {
    /// The node it is in.
    pub node: String,
    /// Its device name there.
    pub device: String,
    /// The bridge of that node it is a port of.
    pub bridge: Option<String>,
    /// Its addresses.
    pub addresses: Vec<Prefix>,
    /// Its MTU; 1500 unless said.
    pub mtu: Option<u32>,
}

/// A route by way of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Where to; everywhere if left out.
    pub to: Option<Prefix>,
    /// The next hop.
    pub via: IpAddr,
}

/// Packets from `source` get the address of the link they leave by, except those that leave by `except`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Masquerade {
    /// The addresses hidden.
    pub source: Prefix,
    /// The device towards them.
    pub except: String,
}

/// A port of the node's own addresses that is answered by another node, as `docker run --publish` does it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port people connect to.
    pub port: u16,
    /// The node that answers, by its first IPv4 address.
    pub to: String,
    /// The port it answers on.
    pub to_port: u16,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A server inside a node, run by its PID 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Answers HTTP with a short text that names the node and the client it sees.
    Http {
        /// The TCP port.
        port: u16,
    },
}

/// Why a topology cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// Not `ADDRESS/LENGTH`.
    #[error("`{0}` is not an address with a prefix length, like 10.40.0.2/24")]
    Prefix(String),
    /// Two nodes of a name, or two devices of a name in a node.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// Something refers to a node or bridge that is not there.
    #[error("`{0}` is mentioned but not described")]
    Missing(String),
    /// A name the kernel or the file system would refuse.
    #[error("`{0}` cannot be a name here")]
    Name(String),
    /// A setting outside `net.`, which might be the whole machine's.
    #[error("`{0}` is not a setting of a network namespace (net.…)")]
    Sysctl(String),
    /// A port is published to a node that has no IPv4 address.
    #[error("`{0}` has no IPv4 address to publish a port to")]
    NoAddress(String),
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

    /// Every address of a node with the device it is on, links first, then bridges, then `lo`.
    pub fn addresses_of<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = (&'a str, Prefix)> {
        let ends = self.ends_in(&node.name).map(|end| (end.device.as_str(), &end.addresses));
        let bridges = node.bridges.iter().map(|bridge| (bridge.name.as_str(), &bridge.addresses));
        let devices = bridges.chain(ends).chain([("lo", &node.loopback)]);
        devices.flat_map(|(device, addresses)| addresses.iter().map(move |address| (device, *address)))
    }

    /// The address by which other nodes reach this one.
    pub fn first_ipv4(&self, node: &str) -> Option<Ipv4Addr> {
        self.addresses_of(self.node(node)?).find_map(|(_, prefix)| match prefix.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
    }

    /// Whether everything that is mentioned is described, once, under a name that the kernel takes.
    pub fn check(&self) -> Result<(), TopologyError> {
        let mut nodes = BTreeSet::new();
        for node in &self.nodes {
            named(&node.name)?;
            once(&mut nodes, &node.name)?;
            let mut devices = BTreeSet::from(["lo".to_owned()]);
            for bridge in &node.bridges {
                named(&bridge.name)?;
                once(&mut devices, &bridge.name)?;
            }
            for end in self.ends_in(&node.name) {
                named(&end.device)?;
                once(&mut devices, &end.device)?;
                if let Some(bridge) = &end.bridge
                    && !node.bridges.iter().any(|known| &known.name == bridge)
                {
                    return Err(TopologyError::Missing(bridge.clone()));
                }
            }
            for key in node.sysctls.keys() {
                if !key.starts_with("net.") || key.contains('/') || key.contains("..") {
                    return Err(TopologyError::Sysctl(key.clone()));
                }
            }
        }
        for mentioned in self.links.iter().flat_map(|link| link.ends.iter().map(|end| &end.node)) {
            self.node(mentioned).ok_or_else(|| TopologyError::Missing(mentioned.clone()))?;
        }
        for mentioned in self.nodes.iter().flat_map(|node| &node.published).map(|published| &published.to) {
            self.node(mentioned).ok_or_else(|| TopologyError::Missing(mentioned.clone()))?;
            self.first_ipv4(mentioned).ok_or_else(|| TopologyError::NoAddress(mentioned.clone()))?;
        }
        Ok(())
    }
}

/// Device names have at most 15 characters (`IFNAMSIZ`); node names become device and host names as a rule.
fn named(name: &str) -> Result<(), TopologyError> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if plain && (1..=15).contains(&name.len()) && !name.starts_with('-') {
        Ok(())
    } else {
        Err(TopologyError::Name(name.to_owned()))
    }
}

fn once(seen: &mut BTreeSet<String>, name: &str) -> Result<(), TopologyError> {
    if seen.insert(name.to_owned()) { Ok(()) } else { Err(TopologyError::Twice(name.to_owned())) }
}
