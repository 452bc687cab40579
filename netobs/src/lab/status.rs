//! Comparing a lab with what it should be.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use super::cgroup::Limit;
use super::process::Identity;
use super::state::{NodeState, Phase, State};
use super::topology::{Node, Service, Topology};
use super::{Error, Result, cgroup, nat, sysctl, teardown};
use crate::netlink::{Route as KernelRoute, Socket};
use crate::netns::{Netns, NetnsInode};

/// A lab's condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// As its topology says.
    Up,
    /// Up, but something has been changed or has ended.
    Changed,
    /// Being built or removed, or whoever did so was killed.
    Unfinished,
}

/// A lab and what is missing of it.
#[derive(Clone, Debug, Serialize)]
pub struct LabStatus {
    /// Its name.
    pub lab: String,
    /// Its topology's name.
    pub topology: String,
    /// Its condition.
    pub state: Health,
    /// Unix time at which it was built, in seconds.
    pub built: u64,
    /// Its nodes, in the topology's order.
    pub nodes: Vec<NodeStatus>,
}

/// A node and what is missing of it.
#[derive(Clone, Debug, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub node: String,
    /// What it stands for.
    pub role: String,
    /// Its namespace's name under `/run/netns`.
    pub netns: String,
    /// Its namespace's inode.
    pub netns_inode: Option<NetnsInode>,
    /// Its PID 1, as the machine sees it.
    pub pid: Option<i32>,
    /// Its addresses as they should be, `DEVICE ADDRESS/LENGTH`.
    pub addresses: Vec<String>,
    /// The most memory it may use, in bytes, if that is enforced.
    pub memory_limit: Option<u64>,
    /// Its cgroup's directory.
    pub cgroup: Option<PathBuf>,
    /// What is not as it should be.
    pub missing: Vec<String>,
    /// What this machine did not allow.
    pub notes: Vec<String>,
}

impl LabStatus {
    /// The first thing that is not as it should be.
    pub(super) fn first_missing(&self) -> Option<String> {
        self.nodes.iter().find_map(|node| Some(format!("{}: {}", node.node, node.missing.first()?)))
    }
}

/// The condition of every lab of this machine.
pub fn status() -> Result<Vec<LabStatus>> {
    State::all()?.iter().map(examine).collect()
}

/// The condition of one lab.
pub(super) fn examine(state: &State) -> Result<LabStatus> {
    let mut nodes = Vec::new();
    for (node, known) in state.topology.nodes.iter().zip(&state.nodes) {
        nodes.push(examine_node(state, node, known)?);
    }
    let whole = nodes.iter().all(|node| node.missing.is_empty());
    let health = match (state.phase, whole) {
        (Phase::Up, true) => Health::Up,
        (Phase::Up, false) => Health::Changed,
        (Phase::Building | Phase::Removing, _) => Health::Unfinished,
    };
    let (lab, topology) = (state.lab.to_string(), state.topology.name.clone());
    Ok(LabStatus { lab, topology, state: health, built: state.built, nodes })
}

fn examine_node(state: &State, node: &Node, known: &NodeState) -> Result<NodeStatus> {
    let alive = !state.is_of_another_boot();
    let init = known.init.filter(|init| alive && init.is_alive());
    let netns = teardown::hold(known).filter(|_| alive);
    let mut missing = Vec::new();
    if init.is_none() {
        missing.push("its PID 1 is not running".to_owned());
    }
    if let Some(netns) = &netns {
        if Netns::pinned(&known.namespace).ok().map(|pinned| pinned.inode()) != Some(netns.inode()) {
            missing.push(format!("/run/netns/{} is gone", known.namespace));
        }
        missing.extend(network_missing(&state.topology, node, netns)?);
        missing.extend(sysctl::differences(node, netns)?);
        missing.extend(nat::differences(&state.topology, node, netns)?);
    } else {
        missing.push("its network namespace is gone".to_owned());
    }
    missing.extend(init.into_iter().flat_map(|init| services_missing(node, init)));
    missing.extend(limits_missing(node, known));
    let limited = !known.notes.iter().any(|note| note.starts_with("no memory limit"));
    Ok(NodeStatus {
        node: node.name.clone(),
        role: node.role.clone(),
        netns: known.namespace.clone(),
        netns_inode: known.netns,
        pid: init.map(|init| init.pid),
        addresses: state.topology.addresses_of(node).map(|(device, prefix)| format!("{device} {prefix}")).collect(),
        memory_limit: node.memory_limit.filter(|_| limited),
        cgroup: known.cgroup.clone(),
        missing,
        notes: known.notes.clone(),
    })
}

/// Links, addresses and routes that should be there and are not.
fn network_missing(topology: &Topology, node: &Node, netns: &Netns) -> Result<Vec<String>> {
    let named = Error::netlink;
    let mut socket = Socket::open_in(netns).map_err(named(&node.name))?;
    let links = socket.links().map_err(named(&node.name))?;
    let addresses = socket.addresses().map_err(named(&node.name))?;
    let routes = socket.routes().map_err(named(&node.name))?;
    let find = |device: &str| links.iter().find(|link| link.name == device);
    let mut missing = Vec::new();

    missing.extend(find("lo").filter(|lo| lo.up == node.loopback_down).map(|lo| up_or_down(lo.up, "lo")));
    for wanted in topology.devices_of(node) {
        let (device, bridge) = (wanted.name(), wanted.bridge());
        match find(device) {
            None => missing.push(format!("{device} is gone")),
            Some(link) if link.up == wanted.is_down() => missing.push(up_or_down(link.up, device)),
            Some(link) if !link.lower_up && topology.has_carrier(node, wanted) => {
                missing.push(format!("{device} has no carrier"));
            }
            Some(link) if bridge.is_some_and(|bridge| find(bridge).map(|bridge| bridge.ifindex) != link.master) => {
                missing.push(format!("{device} is not a port of {}", bridge.unwrap_or_default()));
            }
            Some(_) => {}
        }
    }
    for (device, prefix) in topology.addresses_of(node) {
        let there = find(device).is_some_and(|link| {
            let same = |found: &crate::netlink::Address| {
                (found.ifindex, found.address, found.prefix_length) == (link.ifindex, prefix.address, prefix.length)
            };
            addresses.iter().any(same)
        });
        if !there {
            missing.push(format!("{device} has not the address {prefix}"));
        }
    }
    for wanted in &node.routes {
        let same = |found: &KernelRoute| {
            let to = found.destination.map(|destination| (destination, found.prefix_length));
            let device =
                wanted.device.as_deref().is_none_or(|name| find(name).map(|link| link.ifindex) == found.device);
            found.gateway == wanted.via && to == wanted.to.map(|to| (to.address, to.length)) && device
        };
        if !routes.iter().any(same) {
            missing.push(format!("no route {wanted}"));
        }
    }
    Ok(missing)
}

fn up_or_down(up: bool, device: &str) -> String {
    format!("{device} is {}", if up { "up" } else { "down" })
}

/// Limits that should be in force and are not.
fn limits_missing(node: &Node, known: &NodeState) -> Vec<String> {
    let limits = [
        ("memory", node.memory_limit.map(Limit::Memory), &known.cgroup),
        ("CPU", node.cpu_percent.map(Limit::Cpu), &known.cpu_cgroup),
    ];
    let lacking = |(what, limit, group): (&str, Option<Limit>, &Option<PathBuf>)| {
        // That the machine does not allow it has been said already.
        let refused = known.notes.iter().any(|note| note.starts_with(&format!("no {what} limit")));
        let (limit, group) = limit.zip(group.as_ref()).filter(|_| !refused)?;
        (!cgroup::is_set(group, limit)).then(|| format!("its {what} limit is not in force"))
    };
    limits.into_iter().filter_map(lacking).collect()
}

/// Servers that should listen and do not.
fn services_missing(node: &Node, init: Identity) -> Vec<String> {
    let table = |family: &str| fs::read_to_string(format!("/proc/{}/net/{family}", init.pid)).unwrap_or_default();
    let sockets = table("tcp") + &table("tcp6");
    let listens = |port: u16| sockets.lines().any(|line| is_listener(line, port));
    let down = |service: &Service| match service {
        Service::Http { port } if !listens(*port) => Some(format!("nothing listens on tcp port {port}")),
        Service::Http { .. } => None,
    };
    node.services.iter().filter_map(down).collect()
}

/// A line of `/proc/net/tcp`: number, local address, remote address, state, each in hexadecimal.
fn is_listener(line: &str, port: u16) -> bool {
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next().and_then(|address| address.rsplit_once(':'));
    // include/net/tcp_states.h: TCP_LISTEN is 10.
    local.is_some_and(|(_, found)| u16::from_str_radix(found, 16) == Ok(port)) && fields.nth(1) == Some("0A")
}

#[cfg(test)]
mod tests {
    use super::is_listener;

    #[test]
    fn reads_the_kernels_socket_table() {
        let listening = "   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 0";
        let connected = "   1: 0200280A:0050 0300280A:A2C4 01 00000000:00000000 00:00000000 00000000     0 0";
        assert!(is_listener(listening, 80));
        assert!(!is_listener(listening, 8080));
        assert!(!is_listener(connected, 80));
    }
}
