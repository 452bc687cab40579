//! Building a lab from its topology, and mending one that is up.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::cgroup::{Group, Limit};
use super::container::Container;
use super::etc::{Etc, hosts};
use super::init::Instructions;
use super::lock::Lock;
use super::process::Identity;
use super::state::{NodeState, Phase, State, boot_id};
use super::sysctl::{self, Stage};
use super::topology::{Node, Topology};
use super::wire::{Wired, wire};
use super::{Error, LabName, Result, cgroup, interrupt, lend, mend, nat, pin, ready, status, teardown};
use crate::netlink::Socket;
use crate::netns::Netns;

/// What `up` did.
#[derive(Debug)]
pub struct Built {
    /// The lab.
    pub state: State,
    /// It was up before.
    pub already: bool,
    /// What of it was not as the topology says, and was mended. A lab that was whole is left alone.
    pub mended: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Builds a lab. If it is up, whatever is not as the topology says is mended, and nothing else is touched; what an
/// earlier, killed `up` left is removed first; a failure to build removes all that had been built.
pub fn up(lab: &LabName, topology: Topology) -> Result<Built> {
    up_from(lab, topology, None)
}

/// The same for a topology that was read from a file.
pub fn up_from(lab: &LabName, topology: Topology, source: Option<PathBuf>) -> Result<Built> {
    let start = Instant::now();
    let mistakes = topology.check();
    if !mistakes.is_empty() {
        return Err(Error::Topology { topology: topology.name, mistakes });
    }
    nat::check(&topology)?;
    interrupt::watch()?;
    let _lock = Lock::take(lab)?;
    if let Some(mut old) = State::load(lab)? {
        if old.phase == Phase::Up && !old.is_of_another_boot() {
            let whole = old.topology == topology && status::examine(&old)?.is_whole();
            if whole {
                if old.source != source {
                    old.source = source;
                    old.save()?;
                }
                return Ok(Built { state: old, already: true, mended: Vec::new(), took: start.elapsed() });
            }
            let (state, mended) = mend::mend(old, topology, source)?;
            return Ok(Built { state, already: true, mended, took: start.elapsed() });
        }
        teardown::dismantle(&old)?;
        State::forget(lab)?;
    }
    lend::check(&topology, &[])?;
    let nodes = topology.nodes.iter().map(|node| plan(lab, node)).collect::<Result<_>>()?;
    let built = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let phase = Phase::Building;
    let mut state =
        State { lab: lab.clone(), phase, boot_id: boot_id()?, built, source, loans: Vec::new(), topology, nodes };
    state.save()?;
    interrupt::crash_point();
    match build(&mut state) {
        Ok(()) => Ok(Built { state, already: false, mended: Vec::new(), took: start.elapsed() }),
        // Ctrl-C reaches `nft` as well; that it failed is then not the point.
        Err(cause) => Err(undo(&state, interrupt::check().err().unwrap_or(cause))),
    }
}

/// Removes what a failed build made.
fn undo(state: &State, cause: Error) -> Error {
    match teardown::dismantle(state).and_then(|()| State::forget(&state.lab)) {
        Ok(()) => cause,
        Err(undo) => Error::Undo { cause: Box::new(cause), undo: Box::new(undo) },
    }
}

/// Decides a node's names, and refuses those that are taken, before anything is made.
pub(super) fn plan(lab: &LabName, node: &Node) -> Result<NodeState> {
    let namespace = lab.namespace(&node.name);
    if pin::is_taken(&namespace) {
        return Err(Error::Taken(namespace));
    }
    let mut notes = Vec::new();
    let mut group = |limit: Option<Limit>, what: &str| {
        let planned = cgroup::plan(lab, &node.name, limit?);
        planned.map_err(|reason| notes.push(format!("{}: {reason}", cgroup::refusal(what)))).ok()
    };
    let cgroup = group(node.memory_limit.map(Limit::Memory), "memory");
    let cpu_cgroup = group(node.cpu_percent.map(Limit::Cpu), "CPU");
    let node = node.name.clone();
    Ok(NodeState { node, namespace, cgroup, cpu_cgroup, notes, init: None, netns: None, cookie: None })
}

/// Starts a node's PID 1 in its groups, and writes down by what it can be found.
pub(super) fn start(lab: &LabName, node: &Node, hosts: &str, known: &mut NodeState) -> Result<(Container, Netns)> {
    interrupt::check()?;
    let resolv_conf = Etc::of(lab, node, hosts).resolv_conf;
    let (lab, services) = (lab.to_string(), node.services.clone());
    let (node, hosts, groups) = (node.name.clone(), hosts.to_owned(), limit(node, known));
    let instructions = Instructions { lab, node, resolv_conf, hosts, services, groups };
    let container = Container::start(&instructions)?;
    let netns = Netns::of_process(container.process.pid)?;
    known.init = Identity::of(container.process.pid);
    known.netns = Some(netns.inode());
    known.cookie = Some(netns.cookie()?);
    Ok((container, netns))
}

/// The order matters. Until the names are given and the containers released, all there is hangs on this process: if it
/// is killed, the containers end by themselves and the kernel removes their namespaces with every link inside.
fn build(state: &mut State) -> Result<()> {
    let topology = state.topology.clone();
    let mut containers = Vec::new();
    let mut namespaces = Vec::new();
    let hosts = hosts(&topology);
    drop(pin::prepare_directory()?);
    for (node, known) in topology.nodes.iter().zip(&mut state.nodes) {
        let (container, netns) = start(&state.lab, node, &hosts, known)?;
        containers.push(container);
        namespaces.push(netns);
    }
    // From here on the strangers among a namespace's processes can be told from those of a later one.
    state.save()?;
    interrupt::check()?;
    make_network(&state.lab, &topology, &namespaces)?;
    for (known, container) in state.nodes.iter_mut().zip(&containers) {
        known.notes.extend(container.wait_prepared()?);
    }
    interrupt::check()?;
    pin::pin_all(state.nodes.iter().map(|known| known.namespace.as_str()).zip(&namespaces))?;
    interrupt::check()?;
    for container in containers {
        container.release()?;
        interrupt::crash_point();
    }
    for (node, netns) in topology.nodes.iter().zip(&namespaces) {
        lend::lend(state, &topology, node, netns)?;
    }
    state.phase = Phase::Up;
    state.save()
}

/// Makes devices, addresses and routes, with the settings before and after them, and rules once packets pass.
fn make_network(lab: &LabName, topology: &Topology, namespaces: &[Netns]) -> Result<()> {
    let mut nodes = Vec::new();
    for (node, netns) in topology.nodes.iter().zip(namespaces) {
        interrupt::check()?;
        sysctl::write(node, netns, Stage::BeforeLinks)?;
        let socket = Socket::open_in(netns).map_err(Error::netlink(&node.name))?;
        nodes.push(Wired { node, netns, socket });
    }
    wire(lab, topology, &mut nodes)?;
    interrupt::check()?;
    for wired in &nodes {
        sysctl::write(wired.node, wired.netns, Stage::AfterLinks)?;
    }
    // Before the rules: connection tracking starts with them, and shall not begin with our pings.
    ready::wait(topology, &mut nodes)?;
    for wired in &nodes {
        interrupt::check()?;
        nat::load(topology, wired.node, wired.netns)?;
    }
    Ok(())
}

/// Makes a node's groups. A machine that does not allow it is no reason not to build the lab; `status` tells.
fn limit(node: &Node, known: &mut NodeState) -> Vec<Group> {
    let mut groups = Vec::new();
    for (group, limit) in known.limits(node) {
        match cgroup::create(&group.path, limit) {
            Ok(()) => groups.push(group),
            Err(error) => known.notes.push(group.refused(&error)),
        }
    }
    groups
}
