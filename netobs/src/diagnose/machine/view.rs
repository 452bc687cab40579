//! One namespace, as it was when it was looked into.

use std::net::IpAddr;

use crate::netlink::{Address, Ifindex, Link};

/// A namespace's links and addresses.
#[derive(Clone, Debug)]
pub struct View {
    /// Its links, by number.
    pub links: Vec<Link>,
    /// Its addresses.
    pub addresses: Vec<Address>,
}

impl View {
    /// The link with this number.
    pub fn link(&self, ifindex: Ifindex) -> Option<&Link> {
        self.links.iter().find(|link| link.ifindex == ifindex)
    }

    /// A link's name, or its number where it has gone.
    pub fn device(&self, ifindex: Ifindex) -> String {
        self.link(ifindex).map_or_else(|| format!("device {ifindex}"), |link| link.name.clone())
    }

    /// The addresses of a link.
    pub fn addresses_of(&self, ifindex: Ifindex) -> impl Iterator<Item = &Address> + Clone {
        self.addresses.iter().filter(move |address| address.ifindex == ifindex)
    }

    /// Whether one of the namespace's links has this address.
    pub fn owns(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.address == address)
    }

    /// The ports of a bridge.
    pub fn ports(&self, bridge: Ifindex) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(move |link| link.master == Some(bridge))
    }

    /// The bridges.
    pub fn bridges(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(|link| link.kind.as_deref() == Some("bridge"))
    }
}
