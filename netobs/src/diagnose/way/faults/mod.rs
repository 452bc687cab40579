//! What is broken on the way: found, told to a person, and mended in thought.

mod address;
mod back;
mod forwarding;
mod gateway;
mod link;
mod neighbour;
mod nobody;
mod route;
mod router;

use std::net::IpAddr;

use super::walker::{Direction, Walker};
use crate::diagnose::Culprit;
use crate::netlink::Ifindex;
use crate::netns::NetnsInode;

impl Walker<'_> {
    pub(super) fn device(&mut self, netns: NetnsInode, link: Ifindex) -> String {
        self.machine.view(netns).map_or_else(|| format!("device {link}"), |view| view.device(link))
    }

    fn name(&mut self, netns: NetnsInode) -> String {
        self.machine.name(netns)
    }

    /// `c1-h in lab-host`
    fn device_in(&mut self, netns: NetnsInode, link: Ifindex) -> String {
        format!("{} in {}", self.device(netns, link), self.name(netns))
    }

    fn culprit(&mut self, netns: NetnsInode, what: String) -> Culprit {
        Culprit { netns: Some(self.name(netns)), what }
    }

    /// What is under way.
    fn subject(&self) -> &'static str {
        match self.direction {
            Direction::Out => "the packet",
            Direction::Back => "the answer",
        }
    }

    /// `-6 ` for the commands that need it.
    fn family(address: IpAddr) -> &'static str {
        if address.is_ipv6() { "-6 " } else { "" }
    }

    /// Whether a namespace is one to lead on: it forwards, and has somewhere to forward to. A container forwards, too, if
    /// it was made while the machine did, since a new namespace begins with the machine's settings.
    fn is_crossing(&mut self, netns: NetnsInode, ipv6: bool) -> bool {
        let links = self.machine.view(netns).map_or(0, |view| view.links.iter().filter(|link| !link.loopback).count());
        links > 1 && self.is_router(netns, ipv6)
    }

    /// Whether a namespace forwards packets at all.
    fn is_router(&mut self, netns: NetnsInode, ipv6: bool) -> bool {
        let key = if ipv6 { "ipv6/conf/all/forwarding" } else { "ipv4/ip_forward" };
        self.machine.number(netns, key).is_some_and(|on| on != 0)
    }
}
