//! Devices and addresses of namespaces, asked for when a packet's end depends on them.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Namespaces;
use crate::netlink::{Ifindex, Socket};
use crate::netns::NetnsInode;

/// How long an answer is good for.
const FRESH: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
struct Inside {
    addresses: HashSet<IpAddr>,
    hardware: HashSet<Ifindex>,
    mtus: HashMap<Ifindex, u32>,
    names: HashMap<Ifindex, String>,
    masters: HashMap<Ifindex, Ifindex>,
}

/// What is inside each namespace, read over rtnetlink and remembered for a moment.
#[derive(Debug, Default)]
pub struct Neighbourhood {
    read: HashMap<NetnsInode, (Instant, Option<Inside>)>,
}

impl Neighbourhood {
    /// Whether `address` is the namespace's own, or one that everybody listens to. `None` if the namespace cannot be
    /// looked into any more.
    pub fn is_local(&mut self, namespaces: &mut Namespaces, netns: NetnsInode, address: IpAddr) -> Option<bool> {
        let for_all = match address {
            IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast() || v4.is_loopback(),
            IpAddr::V6(v6) => v6.is_multicast() || v6.is_loopback(),
        };
        if for_all {
            return Some(true);
        }
        self.inside(namespaces, netns).map(|inside| inside.addresses.contains(&address))
    }

    /// Whether a device leads off this machine: it has no driver kind, and is not the loopback.
    pub fn is_hardware(&mut self, namespaces: &mut Namespaces, netns: NetnsInode, device: Ifindex) -> Option<bool> {
        self.inside(namespaces, netns).map(|inside| inside.hardware.contains(&device))
    }

    /// A device's MTU in bytes.
    pub fn mtu(&mut self, namespaces: &mut Namespaces, netns: NetnsInode, device: Ifindex) -> Option<u32> {
        self.inside(namespaces, netns).and_then(|inside| inside.mtus.get(&device).copied())
    }

    /// What a device is called now.
    pub fn device_name(&mut self, namespaces: &mut Namespaces, netns: NetnsInode, device: Ifindex) -> Option<&str> {
        self.inside(namespaces, netns).and_then(|inside| inside.names.get(&device)).map(String::as_str)
    }

    /// The bridge that a device is a port of now.
    pub fn master(&mut self, namespaces: &mut Namespaces, netns: NetnsInode, device: Ifindex) -> Option<Ifindex> {
        self.inside(namespaces, netns).and_then(|inside| inside.masters.get(&device)).copied()
    }

    fn inside(&mut self, namespaces: &mut Namespaces, netns: NetnsInode) -> Option<&Inside> {
        let stale = self.read.get(&netns).is_none_or(|(read, _)| read.elapsed() > FRESH);
        if stale {
            self.read.insert(netns, (Instant::now(), look(namespaces, netns)));
        }
        self.read.get(&netns).and_then(|(_, inside)| inside.as_ref())
    }
}

fn look(namespaces: &mut Namespaces, netns: NetnsInode) -> Option<Inside> {
    let mut socket = Socket::open_in(&namespaces.open(netns)?).ok()?;
    let addresses = socket.addresses().ok()?.into_iter().map(|address| address.address).collect();
    let links = socket.links().ok()?;
    let hardware = links.iter().filter(|link| link.kind.is_none() && !link.loopback).map(|link| link.ifindex).collect();
    let mtus = links.iter().map(|link| (link.ifindex, link.mtu)).collect();
    let masters = links.iter().filter_map(|link| Some((link.ifindex, link.master?))).collect();
    let names = links.into_iter().map(|link| (link.ifindex, link.name)).collect();
    Some(Inside { addresses, hardware, mtus, names, masters })
}
