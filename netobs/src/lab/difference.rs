//! How a node's network differs from its topology, and what would mend it.

use std::net::IpAddr;

use super::topology::{Device, Node, Prefix, Topology};
use super::wire::{in_order, mac_for};
use super::{Error, Result};
use crate::netlink::change::{LinkChange, add_address, add_route, delete_link, set_link};
use crate::netlink::remove::{delete_address, delete_route};
use crate::netlink::{Address, Link, Request, Route, Socket};

/// What veth starts with (`ETH_DATA_LEN`).
const ETHERNET: u32 = 1500;
/// <linux/rtnetlink.h>: routes that come and go without anybody's doing.
const KERNEL: u8 = 2;
const ROUTER_ADVERTISEMENT: u8 = 9;

/// In which order differences are mended: what is too much goes first, and a route needs all the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// Taking away.
    Remove,
    /// Devices.
    Device,
    /// Addresses.
    Address,
    /// Routes, those without a gateway first.
    Route,
}

/// One thing that is not as the topology says.
#[derive(Debug)]
pub(super) struct Difference {
    /// It, in a few words.
    pub(super) what: String,
    /// The change that mends it. None if it is a consequence of others, or if a device has to be made anew.
    pub(super) cure: Option<(Turn, Request)>,
}

/// What there is in a node's namespace.
struct Found {
    links: Vec<Link>,
    addresses: Vec<Address>,
    routes: Vec<Route>,
}

/// Compares a node's devices, addresses and routes with its topology.
pub(super) fn compare(mark: &str, topology: &Topology, node: &Node, socket: &mut Socket) -> Result<Vec<Difference>> {
    let named = |error| Error::netlink(&node.name)(error);
    let found = Found {
        links: socket.links().map_err(named)?,
        addresses: socket.addresses().map_err(named)?,
        routes: socket.routes().map_err(named)?,
    };
    let mut differences = Vec::new();
    if let Some(lo) = found.link("lo").filter(|lo| lo.up == node.loopback_down) {
        differences.push(switch(lo, node.loopback_down));
    }
    for wanted in topology.devices_of(node) {
        match found.link(wanted.name()) {
            None => differences.push(Difference { what: format!("{} is gone", wanted.name()), cure: None }),
            Some(link) => found.compare_device(mark, topology, node, wanted, link, &mut differences),
        }
    }
    for link in found.links.iter().filter(|link| link.ifalias.as_deref() == Some(mark)) {
        if !topology.devices_of(node).any(|wanted| wanted.name() == link.name) {
            let cure = Some((Turn::Remove, delete_link(link.ifindex, &link.name)));
            differences.push(Difference { what: format!("{} is in no topology", link.name), cure });
        }
    }
    found.compare_addresses(topology, node, &mut differences);
    found.compare_routes(topology, node, &mut differences);
    Ok(differences)
}

/// Whether a link is what a device should be, whatever its settings are.
pub(super) fn is_kind(link: &Link, wanted: Device<'_>) -> bool {
    let kind = match wanted {
        Device::Bridge(_) => "bridge",
        Device::End(_) => "veth",
        Device::Vxlan(_) => "vxlan",
        Device::Lent(_) => return true,
    };
    let tunnel = match wanted {
        Device::Vxlan(vxlan) => link.vxlan.is_some_and(|found| {
            found.id == Some(vxlan.id)
                && found.local == Some(vxlan.local)
                && found.remote == Some(vxlan.remote)
                && found.port == Some(vxlan.port)
        }),
        Device::Bridge(_) | Device::End(_) | Device::Lent(_) => true,
    };
    link.kind.as_deref() == Some(kind) && tunnel
}

fn switch(link: &Link, down: bool) -> Difference {
    let change = LinkChange { up: Some(!down), ..LinkChange::default() };
    let what = format!("{} is {}", link.name, if down { "up" } else { "down" });
    Difference { what, cure: Some((Turn::Device, set_link(link.ifindex, &link.name, change))) }
}

impl Found {
    fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    fn compare_device(
        &self,
        mark: &str,
        topology: &Topology,
        node: &Node,
        wanted: Device<'_>,
        link: &Link,
        into: &mut Vec<Difference>,
    ) {
        let name = wanted.name();
        let mut differs = |what: String, change: Option<LinkChange<'_>>| {
            let cure = change.map(|change| (Turn::Device, set_link(link.ifindex, name, change)));
            into.push(Difference { what, cure });
        };
        let none = LinkChange::default();
        if !is_kind(link, wanted) {
            return differs(format!("{name} is another kind of device"), None);
        }
        let lent = matches!(wanted, Device::Lent(_));
        if link.ifalias.as_deref() != Some(mark) && !lent {
            return differs(format!("{name} is not the lab's own"), None);
        }
        let master = wanted.bridge().and_then(|bridge| self.link(bridge)).map(|bridge| bridge.ifindex);
        if let Some(bridge) = wanted.bridge().filter(|_| master != link.master) {
            let change = master.map(|master| LinkChange { master: Some(Some(master)), ..none });
            differs(format!("{name} is not a port of {bridge}"), change);
        } else if let (None, Some(_)) = (wanted.bridge(), link.master) {
            differs(format!("{name} is a port of a bridge"), Some(LinkChange { master: Some(None), ..none }));
        }
        let mtu = match wanted {
            // That of the smallest port.
            Device::Bridge(bridge) => bridge.mtu,
            Device::Lent(_) => None,
            Device::End(_) | Device::Vxlan(_) => Some(wanted.mtu().unwrap_or(ETHERNET)),
        };
        if let Some(mtu) = mtu.filter(|mtu| *mtu != link.mtu) {
            differs(format!("{name} has MTU {}, not {mtu}", link.mtu), Some(LinkChange { mtu: Some(mtu), ..none }));
        }
        if let (Some(mac), Some(found)) = (mac_for(wanted.addresses()), link.mac)
            && mac != found
            && !lent
        {
            let change = LinkChange { mac: Some(mac), ..none };
            differs(format!("{name} has the link-layer address {found}, not {mac}"), Some(change));
        }
        if link.up == wanted.is_down() {
            into.push(switch(link, wanted.is_down()));
        } else if !link.lower_up && topology.has_carrier(node, wanted) {
            into.push(Difference { what: format!("{name} has no carrier"), cure: None });
        }
    }

    fn compare_addresses(&self, topology: &Topology, node: &Node, into: &mut Vec<Difference>) {
        let wanted: Vec<(&str, Prefix)> = topology.addresses_of(node).collect();
        let same = |link: &Link, prefix: &Prefix, found: &Address| {
            (found.ifindex, found.address, found.prefix_length) == (link.ifindex, prefix.address, prefix.length)
        };
        for (device, prefix) in &wanted {
            let Some(link) = self.link(device) else { continue };
            if !self.addresses.iter().any(|found| same(link, prefix, found)) {
                let add = add_address(link.ifindex, device, prefix.address, prefix.length);
                into.push(Difference {
                    what: format!("{device} has not the address {prefix}"),
                    cure: Some((Turn::Address, add)),
                });
            }
        }
        for found in self.addresses.iter().filter(|found| !found.link_local && !found.address.is_loopback()) {
            let Some(link) = self.links.iter().find(|link| link.ifindex == found.ifindex) else { continue };
            let ours = link.name == "lo" || topology.devices_of(node).any(|device| device.name() == link.name);
            let told = |(device, prefix): &(&str, Prefix)| *device == link.name && same(link, prefix, found);
            if ours && !wanted.iter().any(told) {
                let (name, address, length) = (&link.name, found.address, found.prefix_length);
                let what = format!("{name} has the address {address}/{length}, which is in no topology");
                let remove = delete_address(link.ifindex, name, address, length);
                into.push(Difference { what, cure: Some((Turn::Remove, remove)) });
            }
        }
    }

    fn compare_routes(&self, topology: &Topology, node: &Node, into: &mut Vec<Difference>) {
        let is = |wanted: &super::Route, found: &Route| {
            let to = found.destination.map(|destination| (destination, found.prefix_length));
            let device =
                wanted.device.as_deref().is_none_or(|name| self.link(name).map(|link| link.ifindex) == found.device);
            found.gateway == wanted.via && to == wanted.to.map(|to| (to.address, to.length)) && device
        };
        for wanted in in_order(&node.routes) {
            if !self.routes.iter().any(|found| is(wanted, found)) {
                let device = wanted.device.as_deref();
                let device = device.and_then(|name| Some((self.link(name)?.ifindex, name)));
                let add = add_route(wanted.to.map(|to| (to.address, to.length)), wanted.via, device);
                into.push(Difference { what: format!("no route {wanted}"), cure: Some((Turn::Route, add)) });
            }
        }
        for found in &self.routes {
            let made = found.unicast
                && found.table == Route::MAIN
                && ![KERNEL, ROUTER_ADVERTISEMENT].contains(&found.protocol);
            let link = self.links.iter().find(|link| Some(link.ifindex) == found.device);
            // A route by way of a device that is not the lab's belongs to whoever put that there.
            let ours = link.is_some_and(|link| topology.devices_of(node).any(|device| device.name() == link.name));
            if made && ours && !node.routes.iter().any(|wanted| is(wanted, found)) {
                let to = found.destination.map(|to| (to, found.prefix_length));
                let shown = shown(to, found.gateway, link.map(|link| link.name.as_str()));
                let remove = delete_route(to, found.gateway, found.device);
                into.push(Difference {
                    what: format!("there is a route {shown}, which is in no topology"),
                    cure: Some((Turn::Remove, remove)),
                });
            }
        }
    }
}

fn shown(to: Option<(IpAddr, u8)>, via: Option<IpAddr>, device: Option<&str>) -> String {
    let mut text = to.map_or_else(|| "default".to_owned(), |(address, length)| format!("{address}/{length}"));
    text += &via.map_or_else(String::new, |via| format!(" via {via}"));
    text + &device.map_or_else(String::new, |device| format!(" dev {device}"))
}

/// Makes the changes that mend the differences of a node's network, again and again until none is left: taking a device
/// down takes its routes along, and what is removed may hide what is missing. Returns what was found at first.
pub(super) fn mend(mark: &str, topology: &Topology, node: &Node, socket: &mut Socket) -> Result<Vec<String>> {
    /// Each round mends at least one layer of four; some leave work for the one before.
    const ROUNDS: usize = 6;
    let mut told = Vec::new();
    let mut refused = None;
    for round in 0..ROUNDS {
        let differences = compare(mark, topology, node, socket)?;
        if round == 0 {
            told = differences.iter().map(|difference| difference.what.clone()).collect();
        }
        let mut cures: Vec<(Turn, Request)> =
            differences.into_iter().filter_map(|difference| difference.cure).collect();
        if cures.is_empty() {
            return Ok(told);
        }
        cures.sort_by_key(|(turn, _)| *turn);
        let requests: Vec<Request> = cures.into_iter().map(|(_, request)| request).collect();
        // One that is refused now may be possible, or needless, in the next round.
        let answers = socket.apply_each(&requests).map_err(Error::netlink(&node.name))?;
        refused = answers.into_iter().find_map(std::result::Result::err);
    }
    match refused {
        // A route may wait for a device that is lent only when all else is done; if it is missing then, `status` tells.
        Some(source) if node.lent.is_empty() => Err(Error::netlink(&node.name)(source)),
        Some(_) | None => Ok(told),
    }
}
