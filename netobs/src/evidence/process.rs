//! Which process has a socket.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

/// An unknown inode leads to a walk through `/proc` this often at most.
const RESCAN: Duration = Duration::from_millis(250);
/// The walk takes at most this share of the time: on a machine with very many open files it is made more rarely.
const SHARE: u32 = 20;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its id on this machine, not inside its container.
    pub pid: i32,
    /// `/proc/PID/comm`: at most 15 characters that it chose itself.
    pub name: String,
}

/// Processes by the sockets they have open, read from `/proc/PID/fd` and remembered until an unknown socket is asked for.
#[derive(Debug, Default)]
pub struct Processes {
    by_inode: HashMap<u32, Process>,
    scanned: Option<(Instant, Duration)>,
}

impl Processes {
    /// The process with the lowest id that has this socket open. `None` if it is gone, or was not found yet.
    pub fn of(&mut self, inode: u32) -> Option<&Process> {
        let due = self.scanned.is_none_or(|(when, took)| when.elapsed() > RESCAN.max(took * SHARE));
        if due && !self.still_has(inode) {
            self.scan();
        }
        self.by_inode.get(&inode)
    }

    /// Inodes are given out again: whoever is remembered must still be there.
    fn still_has(&self, inode: u32) -> bool {
        self.by_inode.get(&inode).is_some_and(|process| sockets(process.pid).any(|other| other == inode))
    }

    fn scan(&mut self) {
        let began = Instant::now();
        self.by_inode.clear();
        let mut pids: Vec<i32> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
            .collect();
        pids.sort_unstable();
        for pid in pids {
            let mut name = None;
            for inode in sockets(pid) {
                let name = name.get_or_insert_with(|| {
                    let comm = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
                    String::from_utf8_lossy(&comm).trim_end_matches('\n').to_owned()
                });
                self.by_inode.entry(inode).or_insert_with(|| Process { pid, name: name.clone() });
            }
        }
        self.scanned = Some((Instant::now(), began.elapsed()));
    }
}

/// Inodes of the sockets that a process has open.
fn sockets(pid: i32) -> impl Iterator<Item = u32> {
    fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten().filter_map(|entry| inode(&entry.path()))
}

/// `socket:[4711]`
fn inode(link: &Path) -> Option<u32> {
    let target = fs::read_link(link).ok()?;
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn finds_who_has_a_socket() {
        let mut processes = Processes::default();
        assert_eq!(processes.of(u32::MAX), None);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = inode(Path::new(&format!("/proc/self/fd/{}", listener.as_raw_fd()))).unwrap();
        std::thread::sleep(RESCAN.max(processes.scanned.unwrap().1 * SHARE) + Duration::from_millis(5));
        let found = processes.of(own).unwrap();
        assert_eq!(found.pid, std::process::id().cast_signed());
        assert_eq!(found.name, fs::read_to_string("/proc/self/comm").unwrap().trim_end());
    }
}
