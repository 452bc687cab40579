//! Removing a lab, whole or in pieces.

use std::process;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::lock::Lock;
use super::process::{Identity, Process};
use super::state::{NodeState, Phase, State};
use super::{Error, LabName, Result, cgroup, interrupt, lend, pin, strangers};
use crate::netns::{Netns, NetnsInode};

/// How long a process inside may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(1);
/// How long the kernel may take to end a process that was killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// A process that forks faster than it is killed is given up after so many rounds.
const ROUNDS: usize = 20;

/// What `down` did.
#[derive(Debug)]
pub struct Removed {
    /// There was something to remove.
    pub existed: bool,
    /// How long it took.
    pub took: Duration,
}

/// Removes a lab: one that is up, half built, half removed, or not there at all.
pub fn down(lab: &LabName) -> Result<Removed> {
    let start = Instant::now();
    let _lock = Lock::take(lab)?;
    let Some(mut state) = State::load(lab)? else {
        State::forget(lab)?;
        return Ok(Removed { existed: false, took: start.elapsed() });
    };
    let own = Netns::own()?.inode();
    if !state.is_of_another_boot() && state.nodes.iter().any(|node| node.netns == Some(own)) {
        return Err(Error::Inside(lab.clone()));
    }
    state.phase = Phase::Removing;
    state.save()?;
    interrupt::crash_point();
    dismantle(&state)?;
    interrupt::crash_point();
    State::forget(lab)?;
    Ok(Removed { existed: true, took: start.elapsed() })
}

/// Removes everything but the state file, in reverse order of building. Goes on after a failure and reports all.
pub(super) fn dismantle(state: &State) -> Result<()> {
    // After a restart the ids and inodes in the file are other people's; at most the empty files of the names are left.
    let alive = !state.is_of_another_boot();
    let held: Vec<Option<Netns>> = state.nodes.iter().map(|node| hold(node).filter(|_| alive)).collect();
    let mut failures = Vec::new();
    if alive {
        // First, while their namespaces live for certain.
        let known =
            state.nodes.iter().zip(&held).filter_map(|(node, netns)| Some((node.node.as_str(), netns.as_ref()?)));
        failures.extend(lend::give_back(&state.loans, known));
        if !failures.is_empty() {
            // Ending the nodes now would take the device along.
            return Err(Error::Several(failures));
        }
        failures.extend(end_processes(state, &held));
    }
    for (node, netns) in state.nodes.iter().zip(&held) {
        interrupt::crash_point();
        // Held by us, so its inode cannot have passed to another namespace.
        let ours = |behind: &Netns| netns.as_ref().is_some_and(|netns| netns.inode() == behind.inode());
        failures.extend(pin::unpin(&node.namespace, ours).err());
    }
    interrupt::crash_point();
    for group in state.nodes.iter().flat_map(|node| [&node.cgroup, &node.cpu_cgroup]).flatten() {
        failures.extend(cgroup::remove(group).err());
    }
    match failures.len() {
        0 => Ok(()),
        _ => Err(Error::Several(failures)),
    }
}

/// Takes hold of a node's network namespace, if it still exists, by whatever leads to it. The inode finds it quickly,
/// the cookie makes sure that it is no later one with the same inode.
pub(super) fn hold(node: &NodeState) -> Option<Netns> {
    let (inode, cookie) = (node.netns?, node.cookie?);
    let pinned = Netns::pinned(&node.namespace).ok();
    let init = node.init.filter(|init| init.is_alive()).map(|init| init.pid);
    let inside = init.into_iter().chain(strangers::inhabitants(inode));
    let mut candidates = pinned.into_iter().chain(inside.filter_map(|pid| Netns::of_process(pid).ok()));
    candidates.find(|netns| netns.inode() == inode && netns.cookie().is_ok_and(|found| found == cookie))
}

/// Ends strangers first and the nodes' own PID 1 last, politely and then not.
fn end_processes(state: &State, held: &[Option<Netns>]) -> Vec<Error> {
    let mut failures = Vec::new();
    let inits: Vec<Process> = state.nodes.iter().filter_map(|node| node.init).filter_map(Process::find).collect();
    let networks: Vec<NetnsInode> = held.iter().flatten().map(Netns::inode).collect();
    let spaces: Vec<u64> = inits.iter().filter_map(|init| strangers::pid_namespace_of(init.pid)).collect();
    let mut except: Vec<i32> = inits.iter().map(|init| init.pid).collect();
    except.extend(Identity::of(process::id().cast_signed()).map(|own| own.pid));

    let found = strangers::find(&networks, &spaces, &except);
    signal_all(&found, Signal::SIGTERM, &mut failures);
    // Those that do not listen are killed below.
    let _ = wait_all(&found, GRACE);
    for _ in 0..ROUNDS {
        let found = strangers::find(&networks, &spaces, &except);
        if found.is_empty() {
            break;
        }
        signal_all(&found, Signal::SIGKILL, &mut failures);
        failures.extend(wait_all(&found, PATIENCE).err());
    }
    signal_all(&inits, Signal::SIGTERM, &mut failures);
    if wait_all(&inits, GRACE).is_err() {
        signal_all(&inits, Signal::SIGKILL, &mut failures);
        failures.extend(wait_all(&inits, PATIENCE).err());
    }
    failures
}

fn signal_all(processes: &[Process], signal: Signal, failures: &mut Vec<Error>) {
    for process in processes {
        failures.extend(process.signal(signal).map_err(Error::io(format!("end process {}", process.pid))).err());
    }
}

/// Waits for all of them together, at most so long.
fn wait_all(processes: &[Process], at_most: Duration) -> Result<()> {
    let end = Instant::now() + at_most;
    for process in processes {
        if !process.wait(end.saturating_duration_since(Instant::now())) {
            return Err(Error::Io { what: format!("end process {}", process.pid), source: still_running() });
        }
    }
    Ok(())
}

fn still_running() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "it is still running")
}
