//! Why a packet died, by what the machine itself says: the sysctl, route, MTU, neighbour, table or socket behind a drop;
//! and of one that arrived, who got it.
//!
//! [`topic`] says which state a drop's reason and function point to, one file per kind of state reads it, and [`Gatherer`]
//! sees to it that a flood of drops does not become a flood of questions. Everything is read in the drop's namespace when
//! the drop is told, some tens of milliseconds after it happened; nothing is guessed.

mod conntrack;
mod delivery;
mod device;
mod gather;
mod header;
mod inside;
mod link_mtu;
mod listener;
mod neighbour;
mod path_mtu;
mod process;
mod route;
mod rp_filter;
mod topic;

use std::net::IpAddr;

use serde::Serialize;

pub use conntrack::ConntrackTable;
pub use delivery::Receiver;
pub use device::DeviceState;
pub use gather::{Gatherer, Told};
pub use header::{Checksum, OtherHost, TimeToLive};
pub use link_mtu::LinkMtu;
pub use listener::{Listener, NoListener};
pub use neighbour::NextHop;
pub use path_mtu::PathMtu;
pub use process::{Process, Processes};
pub use route::{NoWay, RouteFound};
pub use rp_filter::ReversePath;

use crate::event::{Captured, Headers, Nested};
use crate::netlink::Ifindex;

/// A drop, as far as the state behind it depends on it.
#[derive(Clone, Debug)]
pub struct Scene<'a> {
    /// The running kernel's name for the reason.
    pub reason: Option<&'a str>,
    /// The function that dropped it.
    pub function: Option<&'a str>,
    /// Name of the namespace.
    pub netns: Option<&'a str>,
    /// The packet's device.
    pub device: Option<&'a str>,
    /// Its number.
    pub ifindex: Option<Ifindex>,
    /// Addresses and ports when it died, NAT included.
    pub headers: &'a Headers,
    /// What an ICMP error quotes.
    pub nested: Option<&'a Nested>,
    /// The packet's first bytes.
    pub captured: Option<&'a Captured>,
    /// Bytes, Ethernet header included where there is one.
    pub length: u32,
    /// Whether it carried a conntrack entry.
    pub tracked: bool,
}

impl Scene<'_> {
    /// Bytes from the IP header on, which is what an MTU is compared with.
    fn ip_length(&self) -> u32 {
        const ETHERNET_HEADER: u32 = 14;
        if self.captured.is_some_and(|captured| captured.ethernet) {
            self.length.saturating_sub(ETHERNET_HEADER)
        } else {
            self.length
        }
    }

    fn destination(&self) -> Option<IpAddr> {
        self.headers.tuple.dst
    }

    fn source(&self) -> Option<IpAddr> {
        self.headers.tuple.src
    }

    /// ` in lab-host`, or nothing.
    fn in_netns(&self) -> String {
        self.netns.map(|netns| format!(" in {netns}")).unwrap_or_default()
    }
}

/// The state behind a drop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Evidence {
    /// Reverse path filter.
    ReversePath(ReversePath),
    /// Too large for the way out.
    PathMtu(PathMtu),
    /// Too large for a bridge port or a veth's other end.
    LinkMtu(LinkMtu),
    /// No route, or not allowed to forward.
    NoWay(NoWay),
    /// The next hop did not answer.
    NextHop(NextHop),
    /// The conntrack table.
    ConntrackTable(ConntrackTable),
    /// Nobody listens.
    NoListener(NoListener),
    /// A device's state.
    Device(DeviceState),
    /// Time to live.
    TimeToLive(TimeToLive),
    /// Checksum.
    Checksum(Checksum),
    /// The frame's address.
    OtherHost(OtherHost),
}

impl Evidence {
    /// What it says, in clauses of a sentence. Names in them are as strangers chose them.
    pub fn facts(&self, scene: &Scene<'_>) -> Vec<String> {
        match self {
            Self::ReversePath(evidence) => evidence.facts(),
            Self::PathMtu(evidence) => evidence.facts(),
            Self::LinkMtu(evidence) => evidence.facts(),
            Self::NoWay(evidence) => evidence.facts(scene),
            Self::NextHop(evidence) => evidence.facts(scene),
            Self::ConntrackTable(evidence) => evidence.facts(scene),
            Self::NoListener(evidence) => evidence.facts(scene),
            Self::Device(evidence) => evidence.facts(),
            Self::TimeToLive(evidence) => evidence.facts(),
            Self::Checksum(evidence) => evidence.facts(),
            Self::OtherHost(evidence) => evidence.facts(),
        }
    }
}
