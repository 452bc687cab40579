use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::prefix::Prefix;
use super::{prefix, size};

/// A machine or container: a set of namespaces with a process that is PID 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// Its name and hostname, at most 15 characters.
    #[schemars(required)]
    pub name: String,
    /// What it stands for, in a few words.
    pub role: String,
    /// Its bridges.
    pub bridges: Vec<Bridge>,
    /// Further addresses on `lo`.
    pub loopback: Vec<Prefix>,
    /// Leave `lo` switched off, as it is in every fresh namespace.
    pub loopback_down: bool,
    /// Its routes besides those that come with addresses.
    pub routes: Vec<Route>,
    /// Two of its devices may have addresses in the same prefix, so that the routes to it clash. Taken for a mistake
    /// otherwise.
    pub clashing_routes: bool,
    /// Kernel settings of its network namespace: `"net.ipv4.ip_forward" = 1`. Those of a device (`net.ipv4.conf.eth0.…`)
    /// are written once there is the device, all others before any link is made. Every node starts without a reverse
    /// path filter (`net.ipv4.conf.all.rp_filter` and `default.rp_filter` 0) and with IPv6 addresses that can be used
    /// at once (`net.ipv6.conf.default.accept_dad` 0) unless it says otherwise.
    #[serde(deserialize_with = "size::words")]
    #[schemars(with = "BTreeMap<String, size::Word>")]
    pub sysctls: BTreeMap<String, String>,
    /// Its ends of VXLAN tunnels.
    pub vxlans: Vec<Vxlan>,
    /// Devices of the machine's own that it has while the lab is up.
    pub lent: Vec<Lent>,
    /// Sources rewritten to the address of the link that a packet leaves by.
    pub masquerade: Vec<Masquerade>,
    /// Sources rewritten to an address that is given.
    pub snat: Vec<Snat>,
    /// Ports of this node's addresses that lead to another node.
    pub published: Vec<Published>,
    /// Servers that run in it.
    pub services: Vec<Service>,
    /// Name servers in its `/etc/resolv.conf`, at most three.
    #[schemars(with = "Vec<prefix::Address>")]
    pub resolvers: Vec<IpAddr>,
    /// The most memory its processes may use together: bytes, or `"128 MiB"`.
    #[serde(deserialize_with = "size::bytes")]
    #[schemars(with = "Option<size::Size>")]
    pub memory_limit: Option<u64>,
    /// The most time its processes may take from the CPUs together, in percent of one CPU.
    #[schemars(range(min = 1, max = 100_000))]
    pub cpu_percent: Option<u32>,
}

/// A bridge in a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bridge {
    /// Its device name, at most 15 characters.
    #[schemars(required)]
    pub name: String,
    /// Its own addresses: with one, the bridge is a gateway as well as a switch.
    pub addresses: Vec<Prefix>,
    /// Its MTU in bytes; that of its smallest port unless said.
    #[schemars(range(min = 68, max = 65535))]
    pub mtu: Option<u32>,
    /// Leave it switched off.
    pub down: bool,
}

/// A route: by way of a gateway, or straight to a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Where to; everywhere if left out.
    pub to: Option<Prefix>,
    /// The next hop; if left out, the destination is on the device's own link.
    #[schemars(with = "Option<prefix::Address>")]
    pub via: Option<IpAddr>,
    /// The device packets leave by; if left out, the one that leads to the next hop.
    pub device: Option<String>,
}

/// Packets from `source` get the address of the link they leave by, except those that leave by `except`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Masquerade {
    /// The addresses hidden.
    pub source: Prefix,
    /// The device towards them.
    pub except: String,
}

/// Packets from `source` that leave by `device` get the address `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Snat {
    /// The addresses hidden.
    pub source: Prefix,
    /// The device that packets leave by.
    pub device: String,
    /// The address that others see.
    #[schemars(with = "prefix::Address")]
    pub to: IpAddr,
}

/// A device of the machine's own, moved into a node while the lab is up. `lab down` gives it back as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lent {
    /// Its name on the machine.
    pub device: String,
    /// Its name in the node; the same unless said.
    pub name: Option<String>,
    /// The bridge of the node it is a port of.
    pub bridge: Option<String>,
    /// Its addresses in the node.
    #[serde(default)]
    pub addresses: Vec<Prefix>,
}

impl Lent {
    /// Its name in the node.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.device)
    }
}

/// The end of a tunnel: Ethernet frames carried to another host in UDP packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vxlan {
    /// Its device name, at most 15 characters.
    pub name: String,
    /// The VXLAN network identifier (VNI), the same at both ends.
    #[schemars(range(min = 1, max = 16_777_215))]
    pub id: u32,
    /// The node's own address that tunnel packets come from.
    #[schemars(with = "prefix::Address")]
    pub local: IpAddr,
    /// The other end's address.
    #[schemars(with = "prefix::Address")]
    pub remote: IpAddr,
    /// The UDP port that both ends use; 4789 unless said.
    #[serde(default = "Vxlan::port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// The bridge it is a port of.
    pub bridge: Option<String>,
    /// Its addresses.
    #[serde(default)]
    pub addresses: Vec<Prefix>,
    /// Its MTU in bytes; 1450 unless said, so that a frame and its 50 bytes of outer headers fit in 1500.
    #[schemars(range(min = 68, max = 65535))]
    pub mtu: Option<u32>,
    /// Leave it switched off.
    #[serde(default)]
    pub down: bool,
}

impl Vxlan {
    /// What the outer headers take from the MTU below (`VXLAN_HEADROOM`, `VXLAN6_HEADROOM`).
    const MTU: u32 = 1450;

    /// RFC 7348.
    fn port() -> u16 {
        4789
    }

    /// Its MTU.
    pub fn mtu(&self) -> u32 {
        self.mtu.unwrap_or(Self::MTU)
    }
}

/// A port of the node's own addresses that is answered by another node, as `docker run --publish` does it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// TCP or UDP.
    #[serde(default)]
    pub protocol: Protocol,
    /// The port people connect to.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// The node that answers, by its first IPv4 address.
    pub to: String,
    /// The port it answers on.
    #[schemars(range(min = 1, max = 65535))]
    pub to_port: u16,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Service {
    /// Answers HTTP with a short text that names the node and the client it sees.
    Http {
        /// The TCP port.
        #[schemars(range(min = 1, max = 65535))]
        port: u16,
    },
    /// Answers DNS questions over IPv4 for the names of the lab's nodes, and says of all others that there is no such
    /// name.
    Dns {
        /// The UDP port.
        #[schemars(range(min = 1, max = 65535))]
        port: u16,
    },
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { port } => write!(f, "http server on port {port}"),
            Self::Dns { port } => write!(f, "name server on port {port}"),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            Some(to) => write!(f, "{to}")?,
            None => f.write_str("default")?,
        }
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        self.device.as_ref().map_or(Ok(()), |device| write!(f, " dev {device}"))
    }
}

impl Node {
    /// What every node of a file starts with unless it says otherwise. A new namespace takes its IPv4 defaults from the
    /// machine's; these make every lab alike: no reverse path filter, so that a missing route shows as such, and
    /// link-local addresses that can be used at once.
    const SYSCTLS: [(&'static str, &'static str); 5] = [
        ("net.ipv4.conf.all.rp_filter", "0"),
        ("net.ipv4.conf.default.rp_filter", "0"),
        ("net.ipv6.conf.default.accept_dad", "0"),
        ("net.ipv6.conf.default.disable_ipv6", "0"),
        // There is no router to ask, and the question would be a packet nobody expects in a trace.
        ("net.ipv6.conf.default.router_solicitations", "0"),
    ];

    /// Adds the settings that it does not say itself.
    pub(super) fn complete(&mut self) {
        for (key, value) in Self::SYSCTLS {
            self.sysctls.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        }
    }

    /// The device that a setting is of, if it is of one: `eth0` of `net.ipv4.conf.eth0.rp_filter`.
    pub(in super::super) fn device_of_sysctl(key: &str) -> Option<&str> {
        let mut words = key.split('.').skip(2);
        let kind = words.next().filter(|kind| matches!(*kind, "conf" | "neigh"))?;
        let device = words.next().filter(|device| !matches!(*device, "all" | "default" | "lo"))?;
        words.next().is_some_and(|_| !kind.is_empty()).then_some(device)
    }
}
