//! Links, addresses and routes, made over netlink inside the nodes' namespaces.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::topology::{Device, Node, Prefix, Route, Topology};
use super::{Error, LabName, Result};
use crate::netlink::change::{
    LinkChange, NewLink, Tunnel, add_address, add_bridge, add_route, add_veth, add_vxlan, set_link,
};
use crate::netlink::{Ifindex, MacAddress, Request, Socket};
use crate::netns::Netns;

/// A node's namespace and a netlink socket in it.
#[derive(Debug)]
pub(super) struct Wired<'a> {
    pub(super) node: &'a Node,
    pub(super) netns: &'a Netns,
    pub(super) socket: Socket,
}

/// The mark on every link of a lab, which `ip link` shows as its alias.
pub(super) fn mark(lab: &LabName) -> String {
    format!("netobs:{lab}")
}

/// Numbers of devices, chosen here rather than by the kernel: the same in every lab, and known before they are made, so
/// that one datagram can configure a bridge and its ports.
struct Numbers<'a>(BTreeMap<(&'a str, &'a str), Ifindex>);

impl<'a> Numbers<'a> {
    fn choose(topology: &'a Topology, nodes: &mut [Wired<'_>]) -> Result<Self> {
        let mut numbers = BTreeMap::new();
        for (node, wired) in topology.nodes.iter().zip(nodes) {
            // Some tunnel drivers put a device of their own into every new namespace (`tunl0`, `sit0`, …).
            let links = wired.socket.links().map_err(Error::netlink(&node.name))?;
            let taken = links.iter().map(|link| link.ifindex).max().unwrap_or(Ifindex::LOOPBACK);
            for (device, number) in topology.devices_of(node).map(Device::name).zip(taken.0 + 1..) {
                numbers.insert((node.name.as_str(), device), Ifindex(number));
            }
            numbers.insert((node.name.as_str(), "lo"), Ifindex::LOOPBACK);
        }
        Ok(Self(numbers))
    }

    fn of(&self, node: &str, device: &str) -> Option<Ifindex> {
        self.0.get(&(node, device)).copied()
    }
}

/// Makes all links, then configures them node by node.
pub(super) fn wire(lab: &LabName, topology: &Topology, nodes: &mut [Wired<'_>]) -> Result<()> {
    let numbers = Numbers::choose(topology, nodes)?;
    for index in 0..nodes.len() {
        make_links(topology, &numbers, nodes, index)?;
    }
    let mark = mark(lab);
    for wired in nodes {
        let requests = configuration(topology, &numbers, wired.node, &mark);
        wired.socket.apply_all(&requests).map_err(Error::netlink(&wired.node.name))?;
    }
    Ok(())
}

/// Makes a node's tunnel ends and bridges, and the veth pairs whose first end is in it.
fn make_links(topology: &Topology, numbers: &Numbers<'_>, nodes: &mut [Wired<'_>], index: usize) -> Result<()> {
    let Some(node) = nodes.get(index).map(|wired| wired.node) else { return Ok(()) };
    let new = |node: &str, device, addresses, mtu| NewLink {
        name: device,
        ifindex: numbers.of(node, device),
        mac: mac_for(addresses),
        mtu,
    };
    let mut requests = Vec::new();
    for vxlan in &node.vxlans {
        let new = new(&node.name, &vxlan.name, &vxlan.addresses, Some(vxlan.mtu()));
        let tunnel = Tunnel { id: vxlan.id, local: vxlan.local, remote: vxlan.remote, port: vxlan.port };
        requests.push(add_vxlan(new, tunnel));
    }
    for bridge in &node.bridges {
        requests.push(add_bridge(new(&node.name, &bridge.name, &bridge.addresses, bridge.mtu)));
    }
    for link in &topology.links {
        let [near, far] = &link.ends;
        if near.node == node.name
            && let Some(other) = nodes.iter().find(|wired| wired.node.name == far.node)
        {
            requests.push(add_veth(
                new(&near.node, &near.device, &near.addresses, near.mtu),
                new(&far.node, &far.device, &far.addresses, far.mtu),
                other.netns,
            ));
        }
    }
    let Some(wired) = nodes.get_mut(index) else { return Ok(()) };
    wired.socket.apply_all(&requests).map_err(Error::netlink(&node.name))
}

/// Everything a node's links need once they exist: addresses first, then up, then the routes that need both.
fn configuration(topology: &Topology, numbers: &Numbers<'_>, node: &Node, mark: &str) -> Vec<Request> {
    let number = |device: &str| numbers.of(&node.name, device).unwrap_or_default();
    let mut requests = Vec::new();
    for (device, Prefix { address, length }) in topology.addresses_of(node) {
        requests.push(add_address(number(device), device, address, length));
    }
    if !node.loopback_down {
        let up = LinkChange { up: Some(true), ..LinkChange::default() };
        requests.push(set_link(Ifindex::LOOPBACK, "lo", up));
    }
    for device in topology.devices_of(node) {
        let change = LinkChange {
            up: (!device.is_down()).then_some(true),
            master: device.bridge().map(|bridge| Some(number(bridge))),
            ifalias: Some(mark),
            ..LinkChange::default()
        };
        requests.push(set_link(number(device.name()), device.name(), change));
    }
    for route in in_order(&node.routes) {
        let to = route.to.map(|to| (to.address, to.length));
        requests.push(add_route(to, route.via, route.device.as_deref().map(|device| (number(device), device))));
    }
    requests
}

/// Routes without a gateway first: they may be what makes the gateways of the others reachable.
fn in_order(routes: &[Route]) -> impl Iterator<Item = &Route> {
    let straight = routes.iter().filter(|route| route.via.is_none());
    straight.chain(routes.iter().filter(|route| route.via.is_some()))
}

/// An address made from the link's IPv4 address, as Docker does it, so that traces of two labs look alike. A link
/// without one gets a random address from the kernel.
fn mac_for(addresses: &[Prefix]) -> Option<MacAddress> {
    addresses.iter().find_map(|prefix| match prefix.address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            // 02: given out locally.
            Some(MacAddress([0x02, 0x42, a, b, c, d]))
        }
        IpAddr::V6(_) => None,
    })
}
