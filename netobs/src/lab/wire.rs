//! Links, addresses and routes, made over netlink inside the nodes' namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::difference::is_kind;
use super::topology::{Device, End, Node, Prefix, Route, Topology};
use super::{Error, LabName, Result};
use crate::netlink::change::{
    LinkChange, NewLink, Tunnel, add_address, add_bridge, add_route, add_veth, add_vxlan, delete_link, set_link,
};
use crate::netlink::{Ifindex, Link, MacAddress, Request, Socket};
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
struct Numbers<'a> {
    numbers: BTreeMap<(&'a str, &'a str), Ifindex>,
    /// Devices that were there before.
    there: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Numbers<'a> {
    fn choose(topology: &'a Topology, nodes: &mut [Wired<'_>]) -> Result<Self> {
        let mut numbers = BTreeMap::new();
        let mut there = BTreeSet::new();
        for (node, wired) in topology.nodes.iter().zip(nodes) {
            // Some tunnel drivers put a device of their own into every new namespace (`tunl0`, `sit0`, …).
            let links = wired.socket.links().map_err(Error::netlink(&node.name))?;
            let taken = links.iter().map(|link| link.ifindex).max().unwrap_or(Ifindex::LOOPBACK);
            let mut next = taken.0 + 1;
            for device in topology.devices_of(node).map(Device::name) {
                let known = (node.name.as_str(), device);
                match links.iter().find(|link| link.name == device && link.ifalias.is_some()) {
                    Some(link) => {
                        there.insert(known);
                        numbers.insert(known, link.ifindex);
                    }
                    None => {
                        numbers.insert(known, Ifindex(next));
                        next += 1;
                    }
                }
            }
            numbers.insert((node.name.as_str(), "lo"), Ifindex::LOOPBACK);
        }
        Ok(Self { numbers, there })
    }

    fn of(&self, node: &str, device: &str) -> Option<Ifindex> {
        self.numbers.get(&(node, device)).copied()
    }

    fn exists(&self, node: &str, device: &str) -> bool {
        self.there.contains(&(node, device))
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

/// Brings the links of a lab that is up in line: what is not what it should be goes, what is missing is made. Settings,
/// addresses and routes come after that. Returns what was done, each with its node.
pub(super) fn rewire(lab: &LabName, topology: &Topology, nodes: &mut [Wired<'_>]) -> Result<Vec<(String, String)>> {
    let mark = mark(lab);
    let mut done = Vec::new();
    let mut found = BTreeMap::new();
    for wired in nodes.iter_mut() {
        let links = wired.socket.links().map_err(Error::netlink(&wired.node.name))?;
        found.insert(wired.node.name.as_str(), (wired.netns, links));
    }
    for wired in nodes.iter_mut() {
        let node = wired.node;
        let mut cut = Vec::new();
        for link in found.get(node.name.as_str()).map(|(_, links)| links.as_slice()).unwrap_or_default() {
            let ours = link.ifalias.as_deref() == Some(&mark);
            let wanted = topology.devices_of(node).find(|wanted| wanted.name() == link.name);
            let right = match wanted {
                // Not made by us, so not marked either.
                Some(Device::Lent(_)) => true,
                Some(_) if !ours => return Err(Error::InTheWay { node: node.name.clone(), device: link.name.clone() }),
                None if !ours => true,
                Some(wanted) => is_kind(link, wanted) && is_plugged_in(topology, &found, wired, link)?,
                None => false,
            };
            if !right {
                cut.push(delete_link(link.ifindex, &link.name));
                done.push((node.name.clone(), format!("{} was not the topology's", link.name)));
            }
        }
        // Of a cable, the first end that is cut takes the other along.
        wired.socket.apply_each(&cut).map_err(Error::netlink(&node.name))?;
    }
    let numbers = Numbers::choose(topology, nodes)?;
    for index in 0..nodes.len() {
        make_links(topology, &numbers, nodes, index)?;
    }
    for wired in nodes {
        let own = topology.devices_of(wired.node).filter(|device| !matches!(device, Device::Lent(_)));
        let names = own.map(Device::name);
        let made: Vec<&str> = names.filter(|name| !numbers.exists(&wired.node.name, name)).collect();
        let own = LinkChange { ifalias: Some(&mark), ..LinkChange::default() };
        let number = |name| numbers.of(&wired.node.name, name).unwrap_or_default();
        let requests: Vec<Request> = made.iter().map(|name| set_link(number(name), name, own)).collect();
        wired.socket.apply_all(&requests).map_err(Error::netlink(&wired.node.name))?;
        done.extend(made.iter().map(|name| (wired.node.name.clone(), format!("{name} was gone"))));
    }
    Ok(done)
}

/// Whether a cable's end leads where the topology says. Devices that are no cable's end do.
fn is_plugged_in(
    topology: &Topology,
    found: &BTreeMap<&str, (&Netns, Vec<Link>)>,
    wired: &mut Wired<'_>,
    link: &Link,
) -> Result<bool> {
    let node = &wired.node.name;
    let far = topology.links.iter().find_map(|cable| {
        let [one, other] = &cable.ends;
        let is = |end: &End| end.node == *node && end.device == link.name;
        if is(one) { Some(other) } else { is(other).then_some(one) }
    });
    let Some(far) = far else { return Ok(true) };
    let Some((netns, links)) = found.get(far.node.as_str()) else { return Ok(false) };
    let Some(other) = links.iter().find(|other| other.name == far.device) else { return Ok(false) };
    // Numbers of devices mean something in their own namespace only, so the namespace must be the right one, too.
    let there = if far.node == *node { None } else { wired.socket.netns_id(netns).map_err(Error::netlink(node))? };
    let meet = link.peer == Some(other.ifindex) && other.peer == Some(link.ifindex) && link.link_netnsid == there;
    Ok(meet && (far.node == *node || there.is_some()))
}

/// Makes a node's tunnel ends and bridges, and the veth pairs whose first end is in it, unless they are there.
fn make_links(topology: &Topology, numbers: &Numbers<'_>, nodes: &mut [Wired<'_>], index: usize) -> Result<()> {
    let Some(node) = nodes.get(index).map(|wired| wired.node) else { return Ok(()) };
    let new = |node: &str, device, addresses, mtu| NewLink {
        name: device,
        ifindex: numbers.of(node, device),
        mac: mac_for(addresses),
        mtu,
    };
    let mut requests = Vec::new();
    let missing = |device: &str| !numbers.exists(&node.name, device);
    for vxlan in node.vxlans.iter().filter(|vxlan| missing(&vxlan.name)) {
        let new = new(&node.name, &vxlan.name, &vxlan.addresses, Some(vxlan.mtu()));
        let tunnel = Tunnel { id: vxlan.id, local: vxlan.local, remote: vxlan.remote, port: vxlan.port };
        requests.push(add_vxlan(new, tunnel));
    }
    for bridge in node.bridges.iter().filter(|bridge| missing(&bridge.name)) {
        requests.push(add_bridge(new(&node.name, &bridge.name, &bridge.addresses, bridge.mtu)));
    }
    for link in &topology.links {
        let [near, far] = &link.ends;
        if near.node == node.name
            && missing(&near.device)
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
    let lent = |name: &str| node.lent.iter().any(|lent| lent.name() == name);
    for (device, Prefix { address, length }) in topology.addresses_of(node).filter(|(name, _)| !lent(name)) {
        requests.push(add_address(number(device), device, address, length));
    }
    if !node.loopback_down {
        let up = LinkChange { up: Some(true), ..LinkChange::default() };
        requests.push(set_link(Ifindex::LOOPBACK, "lo", up));
    }
    for device in topology.devices_of(node).filter(|device| !lent(device.name())) {
        let change = LinkChange {
            up: (!device.is_down()).then_some(true),
            master: device.bridge().map(|bridge| Some(number(bridge))),
            ifalias: Some(mark),
            ..LinkChange::default()
        };
        requests.push(set_link(number(device.name()), device.name(), change));
    }
    for bridge in &node.bridges {
        // A port changes the MTU of a bridge that was not given one after it was made (`br_mtu_auto_adjust`).
        let mtu = LinkChange { mtu: bridge.mtu, ..LinkChange::default() };
        requests.extend(bridge.mtu.map(|_| set_link(number(&bridge.name), &bridge.name, mtu)));
    }
    // With a lent device, routes wait until it is there.
    for route in in_order(&node.routes).filter(|_| node.lent.is_empty()) {
        let to = route.to.map(|to| (to.address, to.length));
        requests.push(add_route(to, route.via, route.device.as_deref().map(|device| (number(device), device))));
    }
    requests
}

/// Routes without a gateway first: they may be what makes the gateways of the others reachable.
pub(super) fn in_order(routes: &[Route]) -> impl Iterator<Item = &Route> {
    let straight = routes.iter().filter(|route| route.via.is_none());
    straight.chain(routes.iter().filter(|route| route.via.is_some()))
}

/// An address made from the link's IPv4 address, as Docker does it, so that traces of two labs look alike. A link
/// without one gets a random address from the kernel.
pub(super) fn mac_for(addresses: &[Prefix]) -> Option<MacAddress> {
    addresses.iter().find_map(|prefix| match prefix.address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            // 02: given out locally.
            Some(MacAddress([0x02, 0x42, a, b, c, d]))
        }
        IpAddr::V6(_) => None,
    })
}
