//! Building a lab from its topology.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::cgroup::Limit;
use super::container::Container;
use super::init::Instructions;
use super::lock::Lock;
use super::process::Identity;
use super::state::{NodeState, Phase, State, boot_id};
use super::sysctl::Stage;
use super::topology::{Node, Topology};
use super::wire::{Wired, wire};
use super::{Error, LabName, Result, cgroup, interrupt, nat, pin, ready, status, sysctl, teardown};
use crate::netlink::Socket;
use crate::netns::Netns;

/// What `up` did.
#[derive(Debug)]
pub struct Built {
    /// The lab.
    pub state: State,
    /// It was up before, and nothing was done.
    pub already: bool,
    /// How long it took.
    pub took: Duration,
}

/// Builds a lab. If it is up and whole, nothing is done; what an earlier, killed `up` left is removed first; a failure
/// removes all that had been built.
pub fn up(lab: &LabName, topology: Topology) -> Result<Built> {
    let start = Instant::now();
    let mistakes = topology.check();
    if !mistakes.is_empty() {
        return Err(Error::Topology { topology: topology.name, mistakes });
    }
    nat::check(&topology)?;
    interrupt::watch()?;
    let _lock = Lock::take(lab)?;
    if let Some(old) = State::load(lab)? {
        if old.phase == Phase::Up && !old.is_of_another_boot() {
            return match status::examine(&old)?.first_missing() {
                None => Ok(Built { state: old, already: true, took: start.elapsed() }),
                Some(missing) => Err(Error::NotWhole { lab: lab.clone(), missing }),
            };
        }
        teardown::dismantle(&old)?;
        State::forget(lab)?;
    }
    let mut state = plan(lab, topology)?;
    state.save()?;
    match build(&mut state) {
        Ok(()) => Ok(Built { state, already: false, took: start.elapsed() }),
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

/// Decides every name, and refuses those that are taken, before anything is made.
fn plan(lab: &LabName, topology: Topology) -> Result<State> {
    let mut nodes = Vec::new();
    for node in &topology.nodes {
        let namespace = lab.namespace(&node.name);
        if pin::is_taken(&namespace) {
            return Err(Error::Taken(namespace));
        }
        let mut notes = Vec::new();
        let mut group = |limit: Option<Limit>, what: &str| {
            let planned = cgroup::plan(lab, &node.name, limit?);
            planned.map_err(|reason| notes.push(format!("no {what} limit: {reason}"))).ok()
        };
        let cgroup = group(node.memory_limit.map(Limit::Memory), "memory");
        let cpu_cgroup = group(node.cpu_percent.map(Limit::Cpu), "CPU");
        let node = node.name.clone();
        nodes.push(NodeState { node, namespace, cgroup, cpu_cgroup, notes, init: None, netns: None, cookie: None });
    }
    let built = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(State { lab: lab.clone(), phase: Phase::Building, boot_id: boot_id()?, built, topology, nodes })
}

/// The order matters. Until the names are given and the containers released, all there is hangs on this process: if it
/// is killed, the containers end by themselves and the kernel removes their namespaces with every link inside.
fn build(state: &mut State) -> Result<()> {
    let topology = state.topology.clone();
    let mut containers = Vec::new();
    let mut namespaces = Vec::new();
    for (node, known) in topology.nodes.iter().zip(&mut state.nodes) {
        interrupt::check()?;
        let container = Container::start(&instructions(&state.lab, &topology, node))?;
        let netns = Netns::of_process(container.process.pid)?;
        known.init = Identity::of(container.process.pid);
        known.netns = Some(netns.inode());
        known.cookie = Some(netns.cookie()?);
        containers.push(container);
        namespaces.push(netns);
    }
    // From here on the strangers among a namespace's processes can be told from those of a later one.
    state.save()?;
    for ((node, known), container) in topology.nodes.iter().zip(&mut state.nodes).zip(&containers) {
        limit(node, known, container);
    }

    let mut nodes = Vec::new();
    for (node, netns) in topology.nodes.iter().zip(&namespaces) {
        sysctl::write(node, netns, Stage::BeforeLinks)?;
        let socket = Socket::open_in(netns).map_err(Error::netlink(&node.name))?;
        nodes.push(Wired { node, netns, socket });
    }
    wire(&state.lab, &topology, &mut nodes)?;
    for wired in &nodes {
        sysctl::write(wired.node, wired.netns, Stage::AfterLinks)?;
    }
    for (known, container) in state.nodes.iter_mut().zip(&containers) {
        known.notes.extend(container.wait_prepared()?);
    }
    // Before the rules: connection tracking starts with them, and shall not begin with our pings.
    ready::wait(&topology, &mut nodes)?;
    for wired in &nodes {
        interrupt::check()?;
        nat::load(&topology, wired.node, wired.netns)?;
    }
    interrupt::check()?;
    pin::pin_all(state.nodes.iter().map(|known| known.namespace.as_str()).zip(&namespaces))?;
    containers.into_iter().try_for_each(Container::release)?;
    state.phase = Phase::Up;
    state.save()
}

/// A machine that does not allow it is no reason not to build the lab; `status` tells.
fn limit(node: &Node, known: &mut NodeState, container: &Container) {
    let limits = [
        ("memory", node.memory_limit.map(Limit::Memory), &known.cgroup),
        ("CPU", node.cpu_percent.map(Limit::Cpu), &known.cpu_cgroup),
    ];
    for (what, limit, group) in limits {
        let (Some(limit), Some(group)) = (limit, group) else { continue };
        if let Err(error) = cgroup::create(group, limit).and_then(|()| cgroup::join(group, container.process.pid)) {
            known.notes.push(format!("no {what} limit: {}: {error}", group.display()));
        }
    }
}

fn instructions(lab: &LabName, topology: &Topology, node: &Node) -> Instructions {
    let mut resolv_conf = format!("# {}, in lab {lab}\n", node.name);
    for resolver in &node.resolvers {
        resolv_conf += &format!("nameserver {resolver}\n");
    }
    // Nothing answers in most labs; the default would be to wait twice five seconds for it.
    resolv_conf += "options timeout:1 attempts:1\n";
    let mut hosts = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
    for node in &topology.nodes {
        if let Some(address) = topology.first_ipv4(&node.name) {
            hosts += &format!("{address} {}\n", node.name);
        }
    }
    let services = node.services.clone();
    Instructions { lab: lab.to_string(), node: node.name.clone(), resolv_conf, hosts, services }
}
