//! The machine as it is: what is in its namespaces, and how they hang together.
//!
//! Nothing is changed, and nothing is looked into that is not on the way: each namespace is read when it is first asked
//! for, and then remembered, so that all of a diagnosis speaks of one moment. [`Machine::forget`] begins the next.

mod cable;
mod command;
mod sysctl;
mod view;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

pub use sysctl::sysctl_name;
pub use view::View;

use crate::netlink::{Ifindex, Neighbour, Route, RouteAnswer, RouteQuery, Socket};
use crate::netns::{Netns, NetnsInode};
use crate::rules::Rules;
use crate::state::Namespaces;

/// A namespace that was opened.
#[derive(Debug)]
struct Opened {
    netns: Netns,
    socket: Socket,
    view: Option<Arc<View>>,
    routes: Option<Arc<[Route]>>,
    rules: Option<Option<Arc<Rules>>>,
    sysctls: HashMap<String, Option<String>>,
    names: HashMap<u32, NetnsInode>,
    asked_for_names: bool,
}

/// All namespaces, as far as they were looked into.
#[derive(Debug, Default)]
pub struct Machine {
    namespaces: Namespaces,
    opened: HashMap<NetnsInode, Option<Opened>>,
    all: Option<Vec<NetnsInode>>,
}

impl Machine {
    /// Nothing looked into yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all that was read: the next answers are of the machine as it is then.
    pub fn forget(&mut self) {
        self.namespaces = Namespaces::new();
        self.opened.clear();
        self.all = None;
    }

    /// A namespace's name: `host`, the one under `/run/netns`, or `pid:N`.
    pub fn name(&mut self, netns: NetnsInode) -> String {
        self.namespaces.name(netns).map_or_else(|| format!("namespace {netns}"), str::to_owned)
    }

    /// Every namespace that can be found.
    pub fn all(&mut self) -> Vec<NetnsInode> {
        let namespaces = &mut self.namespaces;
        self.all.get_or_insert_with(|| namespaces.all().into_iter().map(|(inode, _)| inode).collect()).clone()
    }

    /// A namespace's links and addresses. `None` if it is gone or may not be looked into.
    pub fn view(&mut self, netns: NetnsInode) -> Option<Arc<View>> {
        let opened = self.open(netns)?;
        if let Some(view) = &opened.view {
            return Some(view.clone());
        }
        let links = opened.socket.links().ok()?;
        let addresses = opened.socket.addresses().ok()?;
        Some(opened.view.insert(Arc::new(View { links, addresses })).clone())
    }

    /// A namespace's routes, of all tables.
    pub fn routes(&mut self, netns: NetnsInode) -> Option<Arc<[Route]>> {
        let opened = self.open(netns)?;
        if let Some(routes) = &opened.routes {
            return Some(routes.clone());
        }
        let routes = opened.socket.routes().ok()?;
        Some(opened.routes.insert(routes.into()).clone())
    }

    /// A namespace's rule set.
    pub fn rules(&mut self, netns: NetnsInode) -> Option<Arc<Rules>> {
        let opened = self.open(netns)?;
        opened.rules.get_or_insert_with(|| Rules::read(&opened.netns).ok().map(Arc::new)).clone()
    }

    /// The route that the kernel would send a packet by.
    pub fn route(&mut self, netns: NetnsInode, query: RouteQuery) -> Option<crate::netlink::Result<RouteAnswer>> {
        Some(self.open(netns)?.socket.route_of(query))
    }

    /// The entry of the routing tables that a packet of the namespace's own would match.
    pub fn matching(&mut self, netns: NetnsInode, to: IpAddr, from: Option<IpAddr>) -> Option<RouteAnswer> {
        self.open(netns)?.socket.route_to(to, from).ok()
    }

    /// What a namespace has in its neighbour table for an address on a link.
    pub fn neighbour(&mut self, netns: NetnsInode, link: Ifindex, address: IpAddr) -> Option<Neighbour> {
        self.open(netns)?.socket.neighbour(link, address).ok().flatten()
    }

    /// A namespace that can be looked into.
    pub fn handle(&mut self, netns: NetnsInode) -> Option<&Netns> {
        Some(&self.open(netns)?.netns)
    }

    fn open(&mut self, netns: NetnsInode) -> Option<&mut Opened> {
        let Self { namespaces, opened, .. } = self;
        let look = || {
            let netns = namespaces.open(netns)?;
            let socket = Socket::open_in(&netns).ok()?;
            Some(Opened {
                netns,
                socket,
                view: None,
                routes: None,
                rules: None,
                sysctls: HashMap::new(),
                names: HashMap::new(),
                asked_for_names: false,
            })
        };
        opened.entry(netns).or_insert_with(look).as_mut()
    }
}
