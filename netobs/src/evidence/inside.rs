//! Looking into a namespace: its links, routes and neighbours over rtnetlink, its sysctls under `/proc`.

use std::fs;

use crate::netlink::{Ifindex, Link, Socket};
use crate::netns::{Netns, in_netns};

/// A namespace that is being looked into. It lives as long as this does.
pub(super) struct Inside<'n> {
    pub(super) netns: &'n Netns,
    pub(super) socket: Socket,
    links: Option<Vec<Link>>,
}

impl<'n> Inside<'n> {
    pub(super) fn open(netns: &'n Netns) -> Option<Self> {
        Some(Self { netns, socket: Socket::open_in(netns).ok()?, links: None })
    }

    /// Reads numbers under `/proc/sys/net`, which shows the namespace of the thread that looks.
    pub(super) fn sysctls<const N: usize>(&self, keys: [String; N]) -> [Option<i64>; N] {
        let read = || keys.map(|key| fs::read_to_string(format!("/proc/sys/net/{key}")).ok()?.trim().parse().ok());
        in_netns(self.netns, read).unwrap_or([None; N])
    }

    pub(super) fn links(&mut self) -> &[Link] {
        self.links.get_or_insert_with(|| self.socket.links().unwrap_or_default())
    }

    pub(super) fn link(&mut self, ifindex: Ifindex) -> Option<&Link> {
        self.links().iter().find(|link| link.ifindex == ifindex)
    }

    /// A link's name.
    pub(super) fn name(&mut self, ifindex: Ifindex) -> Option<String> {
        self.link(ifindex).map(|link| link.name.clone())
    }
}
