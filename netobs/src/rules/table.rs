//! A rule set as it was read, of whichever tool.

use std::collections::HashMap;

use super::iptables::Specification;
use super::nft::{Set, Statement};
use super::packet::{InetHook, Packet};
use super::rule::{Backend, Deed, Rule};

/// Which packets a table sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Family {
    Ip,
    Ip6,
    Inet,
}

impl Family {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Inet => "inet",
        }
    }

    /// `None` for the families whose chains do not sit at the hooks of the IP stack: bridge, arp, netdev.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Ip, Self::Ip6, Self::Inet].into_iter().find(|family| family.name() == name)
    }

    pub(super) fn sees(self, packet: &Packet) -> bool {
        match (self, packet.is_ipv6()) {
            (Self::Ip, Some(true)) | (Self::Ip6, Some(false)) => false,
            (Self::Ip | Self::Ip6 | Self::Inet, _) => true,
        }
    }
}

/// A table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) backend: Backend,
    pub(super) family: Family,
    pub(super) name: String,
    pub(super) chains: HashMap<String, Chain>,
    /// nft's named sets and maps.
    pub(super) sets: HashMap<String, Set>,
}

impl Table {
    pub(super) fn new(backend: Backend, family: Family, name: &str) -> Self {
        Self { backend, family, name: name.to_owned(), chains: HashMap::new(), sets: HashMap::new() }
    }

    /// A rule of this table as it is shown.
    pub(super) fn show(&self, chain: &str, entry: &Entry, deed: Deed) -> Rule {
        Rule {
            backend: entry.backend,
            family: self.family.name().to_owned(),
            table: self.name.clone(),
            chain: chain.to_owned(),
            handle: entry.handle,
            position: Some(entry.position),
            text: entry.text.clone(),
            policy: false,
            deed,
        }
    }

    /// A chain's policy as it is shown.
    pub(super) fn show_policy(&self, chain: &str) -> Rule {
        let text = match self.backend {
            Backend::Nft => "policy drop".to_owned(),
            Backend::IptablesNft | Backend::IptablesLegacy => format!("-P {chain} DROP"),
        };
        Rule {
            backend: self.backend,
            family: self.family.name().to_owned(),
            table: self.name.clone(),
            chain: chain.to_owned(),
            handle: None,
            position: None,
            text,
            policy: true,
            deed: Deed::Drop,
        }
    }
}

/// A chain.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    /// Set if packets come to it by themselves.
    pub(super) base: Option<Base>,
    pub(super) rules: Vec<Entry>,
}

/// Where a base chain is hooked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) hook: InetHook,
    /// Chains of lower numbers run first.
    pub(super) priority: i32,
    /// What falls off the end is dropped.
    pub(super) drops: bool,
    /// Sees only packets that begin a flow, and rewrites.
    pub(super) nat: bool,
}

/// A rule in its chain.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Whose text it has; nft can put a rule into a table of iptables.
    pub(super) backend: Backend,
    pub(super) position: u32,
    pub(super) handle: Option<u64>,
    pub(super) text: String,
    pub(super) body: Body,
}

/// What a rule says.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Iptables(Specification),
    Nft(Vec<Statement>),
}
