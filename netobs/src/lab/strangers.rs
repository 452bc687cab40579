//! The processes that live in a lab's namespaces, whoever started them.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::process::Process;
use crate::netns::NetnsInode;

/// All process ids of the machine.
fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The inode of a process's namespace; `None` if it is gone or a zombie.
fn namespace_of(pid: i32, kind: &str) -> Option<u64> {
    Some(fs::metadata(format!("/proc/{pid}/ns/{kind}")).ok()?.ino())
}

/// The processes whose main thread is in a network namespace with this inode.
pub(super) fn inhabitants(netns: NetnsInode) -> impl Iterator<Item = i32> {
    pids().filter(move |pid| namespace_of(*pid, "net") == Some(u64::from(netns.0)))
}

/// The PID namespace of a process.
pub(super) fn pid_namespace_of(pid: i32) -> Option<u64> {
    namespace_of(pid, "pid")
}

/// Takes hold of every process in one of these network or PID namespaces, but for those in `except`.
pub(super) fn find(networks: &[NetnsInode], pid_namespaces: &[u64], except: &[i32]) -> Vec<Process> {
    let lives_there = |pid: i32| {
        let network = namespace_of(pid, "net");
        networks.iter().any(|netns| network == Some(u64::from(netns.0)))
            || pid_namespace_of(pid).is_some_and(|namespace| pid_namespaces.contains(&namespace))
    };
    let candidates = pids().filter(|pid| !except.contains(pid) && lives_there(*pid));
    // Looked at again once held: the id may have passed to another process in between.
    candidates.filter_map(|pid| Process::open(pid).ok()).filter(|process| lives_there(process.pid)).collect()
}
