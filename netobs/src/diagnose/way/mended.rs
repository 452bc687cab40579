//! What is mended in thought.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::netlink::{Ifindex, Link, within};
use crate::netns::NetnsInode;

/// A route that should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ThoughtRoute {
    pub(super) netns: NetnsInode,
    pub(super) net: IpAddr,
    pub(super) length: u8,
    pub(super) gateway: Option<IpAddr>,
    pub(super) device: Ifindex,
}

/// The machine as it would be without the faults that were found so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Mended {
    up: HashSet<(NetnsInode, Ifindex)>,
    masters: HashMap<(NetnsInode, Ifindex), Ifindex>,
    routes: Vec<ThoughtRoute>,
    not_owned: HashSet<(NetnsInode, IpAddr)>,
    given: HashSet<(NetnsInode, Ifindex, IpAddr)>,
    opened: HashSet<(NetnsInode, Ifindex)>,
}

impl Mended {
    pub(super) fn switch_on(&mut self, netns: NetnsInode, link: Ifindex) {
        self.up.insert((netns, link));
    }

    pub(super) fn enslave(&mut self, netns: NetnsInode, link: Ifindex, bridge: Ifindex) {
        self.masters.insert((netns, link), bridge);
    }

    pub(super) fn add_route(&mut self, route: ThoughtRoute) {
        self.routes.push(route);
    }

    /// Takes an address away from a namespace that should not have it.
    pub(super) fn take_away(&mut self, netns: NetnsInode, address: IpAddr) {
        self.not_owned.insert((netns, address));
    }

    /// Gives an address to a link that should have it.
    pub(super) fn give(&mut self, netns: NetnsInode, link: Ifindex, address: IpAddr) {
        self.given.insert((netns, link, address));
    }

    pub(super) fn is_given(&self, netns: NetnsInode, link: Ifindex, address: IpAddr) -> bool {
        self.given.contains(&(netns, link, address))
    }

    /// Lets frames pass a bridge's port that it keeps shut: hairpin, isolation, spanning tree.
    pub(super) fn open_port(&mut self, netns: NetnsInode, port: Ifindex) {
        self.opened.insert((netns, port));
    }

    pub(super) fn is_up(&self, netns: NetnsInode, link: &Link) -> bool {
        link.up || self.up.contains(&(netns, link.ifindex))
    }

    /// Whether a link was found switched off, and mended.
    pub(super) fn was_down(&self, netns: NetnsInode, link: Ifindex) -> bool {
        self.up.contains(&(netns, link))
    }

    pub(super) fn master(&self, netns: NetnsInode, link: &Link) -> Option<Ifindex> {
        self.masters.get(&(netns, link.ifindex)).copied().or(link.master)
    }

    /// Whether a link should be a bridge's port, and is not.
    pub(super) fn is_plugged_in(&self, netns: NetnsInode, link: Ifindex) -> bool {
        self.masters.contains_key(&(netns, link))
    }

    pub(super) fn is_open(&self, netns: NetnsInode, port: Ifindex) -> bool {
        self.opened.contains(&(netns, port))
    }

    pub(super) fn is_taken_away(&self, netns: NetnsInode, address: IpAddr) -> bool {
        self.not_owned.contains(&(netns, address))
    }

    /// The longest of the routes in thought that match.
    pub(super) fn route(&self, netns: NetnsInode, to: IpAddr) -> Option<ThoughtRoute> {
        let matching = |route: &&ThoughtRoute| route.netns == netns && within(to, route.net, route.length);
        // Of equal ones the last: it was made knowing the others.
        self.routes.iter().filter(matching).max_by_key(|route| route.length).copied()
    }
}
