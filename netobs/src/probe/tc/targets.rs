//! Which devices get a classifier.

use crate::netlink::{Link, Socket};
use crate::netns::{Netns, NetnsInode};
use crate::state::Namespaces;

/// What was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Every device of this name.
    pub device: Option<&'a str>,
    /// Every veth, bridge and uplink.
    pub links: bool,
}

impl Wanted<'_> {
    fn includes(&self, link: &Link) -> bool {
        let is_kind = || match link.kind.as_deref() {
            Some(kind) => matches!(kind, "veth" | "bridge"),
            // Hardware has no kind, and leads off the machine.
            None => !link.loopback,
        };
        self.device == Some(&link.name) || (self.links && is_kind())
    }
}

/// Devices of one namespace.
#[derive(Debug)]
pub struct Target {
    /// The namespace.
    pub netns: Netns,
    /// What it is called.
    pub name: String,
    /// The devices in it, at least one.
    pub links: Vec<Link>,
}

/// Finds the devices in one namespace or in all. A namespace that goes while it is looked into has none. The second
/// value is the names of the namespaces that were looked into.
pub fn find(namespaces: &mut Namespaces, within: Option<NetnsInode>, wanted: Wanted<'_>) -> (Vec<Target>, Vec<String>) {
    let (mut targets, mut looked) = (Vec::new(), Vec::new());
    for (inode, name) in namespaces.all() {
        if within.is_some_and(|within| within != inode) {
            continue;
        }
        let Some(netns) = namespaces.open(inode) else { continue };
        let Ok(mut links) = Socket::open_in(&netns).and_then(|mut socket| socket.links()) else { continue };
        links.retain(|link| wanted.includes(link));
        if !links.is_empty() {
            targets.push(Target { netns, name: name.clone(), links });
        }
        looked.push(name);
    }
    (targets, looked)
}
