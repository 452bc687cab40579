//! Making a lab that is up what a topology says, without touching what is right already.

use std::path::PathBuf;

use super::build::{plan, start};
use super::cgroup::Group;
use super::container::Container;
use super::etc::{Etc, hosts};
use super::lend::Loan;
use super::state::{NodeState, Phase, State};
use super::sysctl::{self, Stage};
use super::topology::{Node, Topology};
use super::typed::up;
use super::wire::{Wired, mark, rewire};
use super::{Error, Result, cgroup, difference, interrupt, lend, nat, pin, ready, status, teardown};
use crate::netlink::Socket;
use crate::netlink::change::delete_link;
use crate::netns::Netns;

/// Mends a lab; `topology` may be another than it was built from. Returns what was done, in sentences. A failure leaves
/// the lab marked as unfinished, and nothing removed that was right.
pub(super) fn mend(old: State, topology: Topology, source: Option<PathBuf>) -> Result<(State, Vec<String>)> {
    let (lab, again) = (old.lab.clone(), up(old.lab.as_str(), &topology.name, source.as_deref()));
    let mut work = Work { lab: old.lab.clone(), done: Vec::new() };
    match work.run(old, topology, source) {
        Ok(state) => Ok((state, work.done)),
        Err(cause) => {
            let cause = interrupt::check().err().map_or(cause, |_| Error::Stopped);
            Err(Error::NotMended { lab, again, cause: Box::new(cause) })
        }
    }
}

struct Work {
    lab: super::LabName,
    done: Vec<String>,
}

impl Work {
    fn tell(&mut self, node: &str, what: impl IntoIterator<Item = String>) {
        self.done.extend(what.into_iter().map(|what| format!("{node}: {what}")));
    }

    fn run(&mut self, old: State, topology: Topology, source: Option<PathBuf>) -> Result<State> {
        lend::check(&topology, &old.loans)?;
        let (kept, gone): (Vec<_>, Vec<_>) = old.nodes.iter().cloned().partition(|known| {
            let before = old.topology.node(&known.node);
            topology.node(&known.node).zip(before).is_some_and(|(after, before)| can_stay(known, before, after))
        });
        // What is lent otherwise from now on goes back first.
        let back = |loan: &&Loan| !topology.node(&loan.node).is_some_and(|node| loan.is_wanted(node));
        let back: Vec<Loan> = old.loans.iter().filter(back).cloned().collect();
        let mut state = State { phase: Phase::Building, source, topology, nodes: old.nodes.clone(), ..old };
        // What is there and what will be: should this be cut short, `down` finds both.
        state.save()?;
        interrupt::check()?;
        let held: Vec<_> = old_nodes(&state).collect();
        if let Some(failure) = lend::give_back(&back, held.iter().map(|(name, netns)| (name.as_str(), netns))).pop() {
            return Err(failure);
        }
        state.loans.retain(|loan| !back.contains(loan));
        self.remove(&state, &kept, &gone)?;

        let topology = state.topology.clone();
        state.nodes.clear();
        for node in &topology.nodes {
            let known = kept.iter().find(|known| known.node == node.name).cloned();
            state.nodes.push(known.map_or_else(|| plan(&self.lab, node), Ok)?);
        }
        state.save()?;
        interrupt::check()?;
        self.raise(&mut state, &topology)?;
        state.phase = Phase::Up;
        state.save()?;
        Ok(state)
    }

    /// Ends the nodes that are not wanted any more or not whole, once the cables to them are cut.
    fn remove(&mut self, state: &State, kept: &[NodeState], gone: &[NodeState]) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        for known in gone {
            let again = state.topology.node(&known.node).is_some();
            self.tell(&known.node, [if again { "started anew" } else { "removed" }.to_owned()]);
        }
        let held = |nodes: &[NodeState]| nodes.iter().filter_map(teardown::hold).collect::<Vec<Netns>>();
        let theirs = held(gone);
        for netns in held(kept) {
            // The kernel removes a dead namespace's links some time later; one that is cut here is gone at once.
            let named = |error| Error::netlink("cut the cables")(error);
            let mut socket = Socket::open_in(&netns).map_err(named)?;
            let mut cut = Vec::new();
            for far in &theirs {
                let id = socket.netns_id(far).map_err(named)?;
                let links = socket.links().map_err(named)?;
                let ours = links.into_iter().filter(|link| link.ifalias.as_deref() == Some(&mark(&self.lab)));
                let to_it = ours.filter(|link| id.is_some() && link.link_netnsid == id);
                cut.extend(to_it.map(|link| delete_link(link.ifindex, &link.name)));
            }
            // One that has gone by itself meanwhile is as good.
            socket.apply_each(&cut).map_err(named)?;
        }
        teardown::dismantle(&State { nodes: gone.to_vec(), ..state.clone() })
    }

    /// Starts what does not run, and mends the rest.
    fn raise(&mut self, state: &mut State, topology: &Topology) -> Result<()> {
        let hosts = hosts(topology);
        let mut containers: Vec<Option<Container>> = Vec::new();
        let mut namespaces = Vec::new();
        for (node, known) in topology.nodes.iter().zip(&mut state.nodes) {
            let (container, netns) = match teardown::hold(known) {
                Some(netns) => (None, netns),
                None => {
                    let (container, netns) = start(&self.lab, node, &hosts, known)?;
                    (Some(container), netns)
                }
            };
            containers.push(container);
            namespaces.push(netns);
        }
        state.save()?;
        let mut nodes = Vec::new();
        for (index, ((node, known), netns)) in topology.nodes.iter().zip(&mut state.nodes).zip(&namespaces).enumerate()
        {
            if containers.get(index).is_some_and(Option::is_none) {
                self.mend_inside(node, &hosts, known)?;
            }
            let differing = sysctl::mend(node, netns, Stage::BeforeLinks)?;
            self.tell_unless_new(containers.get(index), node, differing);
            let socket = Socket::open_in(netns).map_err(Error::netlink(&node.name))?;
            nodes.push(Wired { node, netns, socket });
        }
        interrupt::check()?;
        for (node, what) in rewire(&self.lab, topology, &mut nodes)? {
            self.tell(&node, [what]);
        }
        for (index, wired) in nodes.iter_mut().enumerate() {
            interrupt::check()?;
            let found = difference::mend(&mark(&self.lab), topology, wired.node, &mut wired.socket)?;
            self.tell_unless_new(containers.get(index), wired.node, found);
            let differing = sysctl::mend(wired.node, wired.netns, Stage::AfterLinks)?;
            self.tell_unless_new(containers.get(index), wired.node, differing);
        }
        for (known, container) in state.nodes.iter_mut().zip(&containers) {
            known.notes.extend(container.as_ref().map_or_else(|| Ok(Vec::new()), Container::wait_prepared)?);
        }
        ready::wait(topology, &mut nodes)?;
        for (index, wired) in nodes.iter().enumerate() {
            interrupt::check()?;
            let differing = nat::mend(topology, wired.node, wired.netns)?;
            self.tell_unless_new(containers.get(index), wired.node, differing);
        }
        interrupt::check()?;
        self.pin(state, &namespaces)?;
        interrupt::check()?;
        containers.into_iter().flatten().try_for_each(Container::release)?;
        interrupt::check()?;
        for (node, netns) in topology.nodes.iter().zip(&namespaces) {
            lend::lend(state, topology, node, netns)?;
        }
        Ok(())
    }

    /// A node that has just been started differs in everything; that it is new says it all.
    fn tell_unless_new(&mut self, container: Option<&Option<Container>>, node: &Node, what: Vec<String>) {
        if container.is_none_or(Option::is_none) {
            self.tell(&node.name, what);
        }
    }

    /// What a running node's own processes see besides the network.
    fn mend_inside(&mut self, node: &Node, hosts: &str, known: &mut NodeState) -> Result<()> {
        let Some(init) = known.init else { return Ok(()) };
        let etc = Etc::of(&self.lab, node, hosts);
        let differing = etc.differences(known, init);
        if !differing.is_empty() {
            etc.write(&node.name, init)?;
            self.tell(&node.name, differing);
        }
        for (Group { what, path }, limit) in known.limits(node) {
            if !cgroup::is_set(&path, limit) {
                let set = cgroup::create(&path, limit).and_then(|()| cgroup::join(&path, init.pid));
                set.map_err(Error::io(format!("{}: set the {what} limit", node.name)))?;
                self.tell(&node.name, [format!("its {what} limit was not in force")]);
            }
        }
        Ok(())
    }

    /// Gives back the names that are missing.
    fn pin(&mut self, state: &State, namespaces: &[Netns]) -> Result<()> {
        let lacks = |(known, netns): &(&NodeState, &Netns)| {
            Netns::pinned(&known.namespace).ok().map(|pinned| pinned.inode()) != Some(netns.inode())
        };
        let missing: Vec<_> = state.nodes.iter().zip(namespaces).filter(lacks).collect();
        for (known, _) in &missing {
            // A file without a namespace behind it, as `umount` alone leaves it.
            pin::unpin(&known.namespace, |_| false)?;
        }
        pin::pin_all(missing.iter().map(|(known, netns)| (known.namespace.as_str(), *netns)))
    }
}

/// The nodes that exist, whether they are to stay or not.
fn old_nodes(state: &State) -> impl Iterator<Item = (String, Netns)> {
    state.nodes.iter().filter_map(|known| Some((known.node.clone(), teardown::hold(known)?)))
}

/// Whether a node can stay as it is: it runs, and what is decided when its PID 1 starts has not changed.
fn can_stay(known: &NodeState, before: &Node, after: &Node) -> bool {
    let alive = known.init.filter(|init| init.is_alive());
    let limits = before.memory_limit.is_some() == after.memory_limit.is_some()
        && before.cpu_percent.is_some() == after.cpu_percent.is_some();
    let serves = |init| status::services_missing(after, init).is_empty();
    before.services == after.services && limits && alive.is_some_and(serves) && teardown::hold(known).is_some()
}
