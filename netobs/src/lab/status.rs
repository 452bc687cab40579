//! Comparing a lab with what it should be.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use super::difference::compare;
use super::etc::{Etc, hosts};
use super::process::Identity;
use super::state::{NodeState, Phase, State};
use super::topology::{Node, Service, find};
use super::typed::{up, up_again};
use super::wire::mark;
use super::{Error, LabName, Result, cgroup, nat, sysctl, teardown};
use crate::netlink::Socket;
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
    /// The file that its topology was read from, if it was one.
    pub source: Option<PathBuf>,
    /// What has become of that file since, if anything.
    pub file: Option<String>,
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
    /// The command that builds or mends it.
    pub fn up_again(&self) -> String {
        up(&self.lab, &self.topology, self.source.as_deref())
    }

    /// Whether everything is as it should be.
    pub(super) fn is_whole(&self) -> bool {
        self.nodes.iter().all(|node| node.missing.is_empty())
    }
}

/// The condition of one lab, or of every lab of this machine.
pub fn status(lab: Option<&LabName>) -> Result<Vec<LabStatus>> {
    let states = match lab {
        Some(lab) => vec![State::load(lab)?.ok_or_else(|| Error::NoSuchLab(lab.clone()))?],
        None => State::all()?,
    };
    states.iter().map(examine).collect()
}

/// The condition of one lab.
pub(super) fn examine(state: &State) -> Result<LabStatus> {
    let mut nodes = Vec::new();
    let hosts = hosts(&state.topology);
    for (node, known) in state.topology.nodes.iter().zip(&state.nodes) {
        nodes.push(examine_node(state, node, &hosts, known)?);
    }
    let (lab, topology) = (state.lab.to_string(), state.topology.name.clone());
    let (built, source, file) = (state.built, state.source.clone(), file_condition(state));
    let mut status = LabStatus { lab, topology, state: Health::Up, built, source, file, nodes };
    status.state = match state.phase {
        Phase::Up if status.is_whole() => Health::Up,
        Phase::Up => Health::Changed,
        Phase::Building | Phase::Removing => Health::Unfinished,
    };
    Ok(status)
}

/// What the file says now that the lab was built from, if that is something else.
fn file_condition(state: &State) -> Option<String> {
    let path = state.source.as_ref()?.to_string_lossy();
    match find(&path) {
        Ok(topology) if topology == state.topology => None,
        Ok(_) => Some(format!("{path} has been changed since; `{}` follows it", up_again(state))),
        Err(mistakes) => mistakes.to_string().lines().next().map(ToOwned::to_owned),
    }
}

fn examine_node(state: &State, node: &Node, hosts: &str, known: &NodeState) -> Result<NodeStatus> {
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
        let mut socket = Socket::open_in(netns).map_err(Error::netlink(&node.name))?;
        let differences = compare(&mark(&state.lab), &state.topology, node, &mut socket)?;
        missing.extend(differences.into_iter().map(|difference| difference.what));
        missing.extend(sysctl::differences(node, netns)?);
        missing.extend(nat::differences(&state.topology, node, netns)?);
    } else {
        missing.push("its network namespace is gone".to_owned());
    }
    missing.extend(init.into_iter().flat_map(|init| services_missing(node, init)));
    let unlimited = known.limits(node).into_iter().filter(|(group, limit)| !cgroup::is_set(&group.path, *limit));
    missing.extend(unlimited.map(|(group, _)| format!("its {} limit is not in force", group.what)));
    if let Some(init) = init {
        missing.extend(Etc::of(&state.lab, node, hosts).differences(known, init));
    }
    let limited = !known.notes.iter().any(|note| note.starts_with(&cgroup::refusal("memory")));
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

/// Servers that should listen and do not.
pub(super) fn services_missing(node: &Node, init: Identity) -> Vec<String> {
    if node.services.is_empty() {
        // To list a namespace's sockets the kernel walks those of all.
        return Vec::new();
    }
    let table = |family: &str| fs::read_to_string(format!("/proc/{}/net/{family}", init.pid)).unwrap_or_default();
    let (tcp, udp) = (table("tcp") + &table("tcp6"), table("udp") + &table("udp6"));
    let listens = |port: u16| tcp.lines().any(|line| is_bound(line, port, TCP_LISTEN));
    let takes = |port: u16| udp.lines().any(|line| is_bound(line, port, UDP_OPEN));
    let down = |service: &Service| match service {
        Service::Http { port } if !listens(*port) => Some(format!("nothing listens on tcp port {port}")),
        Service::Dns { port } if !takes(*port) => Some(format!("nothing listens on udp port {port}")),
        Service::Http { .. } | Service::Dns { .. } => None,
    };
    node.services.iter().filter_map(down).collect()
}

// include/net/tcp_states.h, as /proc prints them: TCP_LISTEN, and TCP_CLOSE, which a UDP socket is in that is connected
// to nobody.
const TCP_LISTEN: &str = "0A";
const UDP_OPEN: &str = "07";

/// A line of `/proc/net/tcp` or `udp`: number, local address, remote address, state, each in hexadecimal.
fn is_bound(line: &str, port: u16, state: &str) -> bool {
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next().and_then(|address| address.rsplit_once(':'));
    local.is_some_and(|(_, found)| u16::from_str_radix(found, 16) == Ok(port)) && fields.nth(1) == Some(state)
}

#[cfg(test)]
mod tests {
    use super::{TCP_LISTEN, is_bound};

    #[test]
    fn reads_the_kernels_socket_table() {
        let listening = "   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 0";
        let connected = "   1: 0200280A:0050 0300280A:A2C4 01 00000000:00000000 00:00000000 00000000     0 0";
        assert!(is_bound(listening, 80, TCP_LISTEN));
        assert!(!is_bound(listening, 8080, TCP_LISTEN));
        assert!(!is_bound(connected, 80, TCP_LISTEN));
    }
}
