//! Ready means ready: the first packet after `up` must not be lost to a cable that is not quite up yet.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::probe::Probe;
use super::topology::{Device, Node, Prefix, Station, Topology, segments};
use super::wire::Wired;
use super::{Error, Result, interrupt, sysctl};
use crate::netlink::{Address, Ifindex};

/// Everything is ready within milliseconds. Emulated machines are slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that is about to change.
const PAUSE: Duration = Duration::from_millis(1);
/// Before a ping is sent again.
const RETRY: Duration = Duration::from_millis(100);

/// The most stations of a segment that ask each other.
const CROWD: usize = 8;

/// Waits until every link has carrier, every bridge port forwards, every link-local address can be used, and every node
/// has had an answer from each node it shares a link or bridge with.
pub(super) fn wait(topology: &Topology, nodes: &mut [Wired<'_>]) -> Result<()> {
    let start = Instant::now();
    let mut local = BTreeMap::new();
    for wired in nodes.iter_mut() {
        loop {
            match link_state(topology, wired)? {
                Ok(addresses) => {
                    local.insert(wired.node.name.as_str(), addresses);
                    break;
                }
                Err(missing) => patience(start, || missing)?,
            }
            thread::sleep(PAUSE);
        }
    }
    let mut probes = probes(topology, nodes, &local)?;
    let mut sent: Option<Instant> = None;
    while !probes.is_empty() {
        if sent.is_none_or(|sent| sent.elapsed() > RETRY) {
            probes.iter().for_each(|(_, probe)| probe.send());
            sent = Some(Instant::now());
        }
        probes.retain(|(_, probe)| !probe.is_answered());
        if let Some((from, probe)) = probes.first() {
            patience(start, || format!("{from} gets no answer from {}", probe.to))?;
            thread::sleep(PAUSE / 4);
        }
    }
    Ok(())
}

/// Fails when it has taken too long, or an end has been asked for.
fn patience(start: Instant, missing: impl FnOnce() -> String) -> Result<()> {
    interrupt::check()?;
    if start.elapsed() > PATIENCE {
        return Err(Error::NotReady { after: PATIENCE, missing: missing() });
    }
    Ok(())
}

/// The link-local addresses of a node by device, or what is missing yet.
type LinkState<'a> = std::result::Result<BTreeMap<String, (Ifindex, IpAddr)>, String>;

fn link_state<'a>(topology: &'a Topology, wired: &mut Wired<'_>) -> Result<LinkState<'a>> {
    let node = &wired.node.name;
    let links = wired.socket.links().map_err(Error::netlink(node))?;
    let addresses = wired.socket.addresses().map_err(Error::netlink(node))?;
    let ipv6 = sysctl::has_ipv6(wired.netns)?;
    let mut local = BTreeMap::new();
    for device in topology.devices_of(wired.node).filter(|device| topology.has_carrier(wired.node, *device)) {
        let ipv6 = ipv6 && expects_link_local(topology, wired.node, device);
        let device = device.name();
        let Some(link) = links.iter().find(|link| link.name == device) else {
            return Ok(Err(format!("{node} has no {device}")));
        };
        if !link.lower_up {
            return Ok(Err(format!("{device} of {node} has no carrier")));
        }
        if link.forwarding == Some(false) {
            return Ok(Err(format!("{device} of {node} does not forward")));
        }
        let usable = |address: &&Address| address.ifindex == link.ifindex && address.link_local && !address.tentative;
        match addresses.iter().filter(|address| address.address.is_ipv6()).find(usable) {
            Some(found) => drop(local.insert(device.to_owned(), (link.ifindex, found.address))),
            None if ipv6 => return Ok(Err(format!("{device} of {node} has no link-local address"))),
            None => {}
        }
    }
    Ok(Ok(local))
}

/// Whether the kernel gives a device a link-local address by itself.
fn expects_link_local(topology: &Topology, node: &Node, device: Device<'_>) -> bool {
    let set = |name: &str, key: &str| node.sysctls.get(&format!("net.ipv6.conf.{name}.{key}"));
    let off = |name: &str| set(name, "disable_ipv6").is_some_and(|value| value != "0");
    let none = |name: &str| set(name, "addr_gen_mode").is_some_and(|value| value == "1");
    let names = ["all", "default", device.name()];
    // net/ipv6/addrconf.c: a device whose MTU is below IPV6_MIN_MTU has no IPv6.
    topology.mtu_of(node, device) >= 1280 && !names.iter().any(|name| off(name) || none(name))
}

/// Pings between nodes on the same segment, each pair in one direction: asking for a neighbour tells that one about us.
/// Where there are many, a few ask the first, which is the bridge, and of the others it is enough that they have carrier
/// and that the bridge forwards: each question is flooded to all of them, and all neighbour tables of a machine together
/// hold 1024 entries (`gc_thresh3`), which are not ours to fill.
fn probes<'a>(
    topology: &Topology,
    nodes: &[Wired<'a>],
    local: &BTreeMap<&str, BTreeMap<String, (Ifindex, IpAddr)>>,
) -> Result<Vec<(&'a str, Probe)>> {
    let wired: BTreeMap<&str, &Wired<'a>> = nodes.iter().map(|wired| (wired.node.name.as_str(), wired)).collect();
    let mut probes = Vec::new();
    for segment in segments(topology) {
        let askers = if segment.len() > CROWD { 1 } else { segment.len() };
        for (index, one) in segment.iter().enumerate().take(askers) {
            let asked = if segment.len() > CROWD { CROWD } else { segment.len() };
            for other in segment.iter().skip(index + 1).filter(|other| other.node != one.node).take(asked) {
                let (Some(a), Some(b)) = (wired.get(one.node), wired.get(other.node)) else { continue };
                // An answer goes by the routes, which of a node with clashing ones may lead elsewhere. In a crowd each asks
                // for itself: every socket that waits for answers gets a copy of all that come to its namespace.
                let (from, to, asker, asked) = if b.node.clashing_routes || segment.len() > CROWD {
                    (other, one, b, a)
                } else {
                    (one, other, a, b)
                };
                let on =
                    |station: &Station<'_>| local.get(station.node).and_then(|devices| devices.get(station.device));
                let mut targets: Vec<(IpAddr, Ifindex)> = Vec::new();
                if !asked.node.clashing_routes {
                    let (ours, theirs) = (from.addresses(topology), to.addresses(topology));
                    let within = |prefixes: &[Prefix], one: IpAddr| prefixes.iter().any(|prefix| prefix.contains(one));
                    let near = theirs.iter().filter(|prefix| within(ours, prefix.address));
                    let near = near.filter(|_| ours.iter().any(|prefix| within(theirs, prefix.address)));
                    targets.extend(near.map(|prefix| (prefix.address, Ifindex::default())));
                }
                targets.extend(on(from).zip(on(to)).map(|(scope, theirs)| (theirs.1, scope.0)));
                targets.retain(|(address, _)| answers(asked.node, *address));
                for (to, scope) in targets {
                    let identifier = u16::try_from(probes.len() + 1).unwrap_or(u16::MAX);
                    let probe = Probe::new(asker.netns, from.device, to, scope, identifier);
                    let probe = probe.map_err(Error::io(format!("{}: ping {to}", from.node)))?;
                    probes.push((asker.node.name.as_str(), probe));
                }
            }
        }
    }
    Ok(probes)
}

/// Whether a node's settings let it answer pings.
fn answers(node: &Node, to: IpAddr) -> bool {
    let key = if to.is_ipv4() { "net.ipv4.icmp_echo_ignore_all" } else { "net.ipv6.icmp.echo_ignore_all" };
    node.sysctls.get(key).is_none_or(|value| value == "0")
}
