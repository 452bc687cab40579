//! What is asked.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::netns::NetnsInode;

/// A place to send from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// As a person names it: a lab's node, a container, a namespace, `pid:N`, `host`.
    pub name: String,
    /// Its network namespace.
    pub netns: NetnsInode,
    /// A process that lives there, where one is known: its root has the resolver's file, its cgroup the memory limit.
    pub pid: Option<i32>,
}

/// The protocol of the packet that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Echo request and reply, ICMP or ICMPv6.
    Icmp,
    /// A connection.
    Tcp,
    /// A datagram.
    Udp,
}

impl Protocol {
    /// The name used in JSON, text and rules.
    pub fn name(self) -> &'static str {
        match self {
            Self::Icmp => "icmp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Does a packet get from here to there, and its answer back?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who sends.
    pub from: Endpoint,
    /// To whom.
    pub to: IpAddr,
    /// To which port; `None` with ICMP.
    pub port: Option<u16>,
    /// By which protocol.
    pub protocol: Protocol,
}
