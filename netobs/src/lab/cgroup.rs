//! A container's limits, each by whichever cgroup version has its controller on this machine.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::{Error, LabName, Result};

/// Which controllers a version 2 group hands down.
const CONTROL: &str = "cgroup.subtree_control";
/// The group above all labs' groups.
const GROUP: &str = "netobs";
/// The directory whose lock guards the parent group.
const LOCKED: &str = "/run/netobs";
/// The kernel's period for shares of a CPU, in microseconds (`default_cfs_period`).
const PERIOD: u64 = 100_000;
/// The kernel refuses to remove a group for a moment after its last process has ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// Memory, in bytes.
    Memory(u64),
    /// Time on the CPUs, in percent of one.
    Cpu(u32),
}

impl Limit {
    /// The controller that sees to it, by the kernel's name.
    const fn controller(self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Cpu(_) => "cpu",
        }
    }

    /// The file that says that the root group hands the controller down only because of us.
    fn handed_down(controller: &str) -> PathBuf {
        Path::new(LOCKED).join(format!("cgroup-{controller}"))
    }

    /// What to write, and whether the machine may lack the file.
    fn settings(self, unified: bool) -> Vec<(&'static str, String, bool)> {
        match (self, unified) {
            (Self::Memory(bytes), true) => {
                vec![("memory.max", bytes.to_string(), false), ("memory.swap.max", "0".to_owned(), true)]
            }
            // Memory and swap together: only there if the kernel accounts for swap.
            (Self::Memory(bytes), false) => vec![
                ("memory.limit_in_bytes", bytes.to_string(), false),
                ("memory.memsw.limit_in_bytes", bytes.to_string(), true),
            ],
            (Self::Cpu(percent), true) => {
                vec![("cpu.max", format!("{} {PERIOD}", quota(percent)), false)]
            }
            (Self::Cpu(percent), false) => vec![
                ("cpu.cfs_period_us", PERIOD.to_string(), false),
                ("cpu.cfs_quota_us", quota(percent).to_string(), false),
            ],
        }
    }
}

/// The share of each period, in microseconds. The kernel takes no less than a thousand (`min_cfs_quota_period`).
fn quota(percent: u32) -> u64 {
    (u64::from(percent) * PERIOD / 100).max(1000)
}

/// How every note begins that says that the machine does not allow a limit; `what` is `memory` or `CPU`.
pub(super) fn refusal(what: &str) -> String {
    format!("no {what} limit")
}

/// A group that limits a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    /// `memory` or `CPU`.
    pub(super) what: String,
    /// Its directory.
    pub(super) path: PathBuf,
}

impl Group {
    /// What is said of a limit that the machine does not allow.
    pub(super) fn refused(&self, error: &io::Error) -> String {
        format!("{}: {}: {error}", refusal(&self.what), self.path.display())
    }
}

/// Where a controller is.
#[derive(Debug, PartialEq, Eq)]
enum Hierarchy {
    /// A hierarchy of its own.
    V1(PathBuf),
    /// The unified one.
    V2(PathBuf),
}

/// The directory that a node's group will have, or why there can be none.
pub(super) fn plan(lab: &LabName, node: &str, limit: Limit) -> std::result::Result<PathBuf, String> {
    let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| format!("/proc/self/mounts: {error}"))?;
    let controllers = |root: &Path| fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    let (Hierarchy::V1(root) | Hierarchy::V2(root)) = find(&mounts, limit.controller(), controllers)?;
    Ok(root.join(GROUP).join(lab.namespace(node)))
}

fn find(
    mounts: &str,
    controller: &str,
    controllers: impl Fn(&Path) -> String,
) -> std::result::Result<Hierarchy, String> {
    let mut unified = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(place), Some(kind), Some(options)) = (fields.next(), fields.next(), fields.next()) else { continue };
        if kind == "cgroup" && options.split(',').any(|option| option == controller) {
            return Ok(Hierarchy::V1(place.into()));
        }
        if kind == "cgroup2" {
            unified = Some(PathBuf::from(place));
        }
    }
    match unified {
        Some(root) if controllers(&root).split_whitespace().any(|name| name == controller) => Ok(Hierarchy::V2(root)),
        Some(_) => Err(format!("the cgroup hierarchy has no {controller} controller (kernel option cgroup_disable?)")),
        None => Err(format!("no cgroup hierarchy with the {controller} controller is mounted")),
    }
}

/// Makes the group of a node, if it is not there yet, and sets a limit.
pub(super) fn create(group: &Path, limit: Limit) -> io::Result<()> {
    let controller = limit.controller();
    let parent = group.parent().ok_or(ErrorKind::InvalidInput)?;
    let root = parent.parent().ok_or(ErrorKind::InvalidInput)?;
    let unified = root.join("cgroup.controllers").exists();
    {
        // The last lab that goes takes the parent along; not between these steps.
        let _lock = lock_parent()?;
        exists_or(fs::create_dir(parent))?;
        if unified {
            // A version 2 group has only the controllers that each group above it hands down.
            if !hands_down(root, controller)? {
                fs::write(Limit::handed_down(controller), "")?;
                fs::write(root.join(CONTROL), format!("+{controller}"))?;
            }
            if !hands_down(parent, controller)? {
                fs::write(parent.join(CONTROL), format!("+{controller}"))?;
            }
        }
        exists_or(fs::create_dir(group))?;
    }
    self::limit(group, limit)
}

/// Sets a limit of a group that is there.
pub(super) fn limit(group: &Path, limit: Limit) -> io::Result<()> {
    let unified = group.join("cgroup.controllers").exists();
    // Memory and swap together must never be below memory alone.
    if !unified && matches!(limit, Limit::Memory(_)) {
        optional(fs::write(group.join("memory.memsw.limit_in_bytes"), "-1"))?;
    }
    for (file, value, may_lack) in limit.settings(unified) {
        let written = fs::write(group.join(file), value);
        if may_lack { optional(written)? } else { written? }
    }
    Ok(())
}

/// Whether a group is there and its limit is what it should be. The kernel rounds memory down to whole pages.
pub(super) fn is_set(group: &Path, limit: Limit) -> bool {
    let unified = group.join("cgroup.controllers").exists();
    let same = |file: &str, wanted: &str| {
        let found = fs::read_to_string(group.join(file)).unwrap_or_default();
        match (found.trim().parse::<u64>(), wanted.parse::<u64>()) {
            (Ok(found), Ok(wanted)) => found <= wanted && wanted - found < 1 << 16,
            _ => found.trim() == wanted,
        }
    };
    limit.settings(unified).iter().all(|(file, wanted, may_lack)| *may_lack || same(file, wanted))
}

/// Keeps other builders and removers away from the group above all labs' groups.
fn lock_parent() -> io::Result<Flock<File>> {
    Flock::lock(File::open(LOCKED)?, FlockArg::LockExclusive).map_err(|(_, error)| error.into())
}

/// Whether the groups below may use a controller. On most machines the init system has seen to it.
fn hands_down(group: &Path, controller: &str) -> io::Result<bool> {
    Ok(fs::read_to_string(group.join(CONTROL))?.split_whitespace().any(|name| name == controller))
}

/// Moves the calling process into the group, all of it if it has one thread. A thread that moves itself, which version 1
/// allows, keeps nobody waiting: for a process the kernel waits until no other forks or ends (a grace period of RCU).
pub(super) fn enter(group: &Path) -> io::Result<()> {
    let tasks = group.join("tasks");
    let list = if tasks.exists() { tasks } else { group.join("cgroup.procs") };
    fs::write(list, "0")
}

/// Moves a process into the group.
pub(super) fn join(group: &Path, pid: i32) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), pid.to_string())
}

/// Removes a node's group, and the one above it if no lab is left.
pub(super) fn remove(group: &Path) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match fs::remove_dir(group) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy && Instant::now() < end => {
                thread::sleep(Duration::from_millis(2));
            }
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io(format!("remove cgroup {}", group.display()))(error));
            }
            Ok(()) | Err(_) => break,
        }
    }
    let Some(parent) = group.parent() else { return Ok(()) };
    let _lock = lock_parent().map_err(Error::io(format!("lock {LOCKED}")))?;
    // Refused while another lab's group is in it.
    if fs::remove_dir(parent).is_ok() {
        let root = parent.parent().filter(|root| root.join(CONTROL).exists());
        for controller in [Limit::Memory(0), Limit::Cpu(0)].map(Limit::controller) {
            if let Some(root) = root
                && fs::remove_file(Limit::handed_down(controller)).is_ok()
            {
                // Refused if somebody else has come to use it.
                let _ = fs::write(root.join(CONTROL), format!("-{controller}"));
            }
        }
    }
    Ok(())
}

fn exists_or(made: io::Result<()>) -> io::Result<()> {
    made.or_else(|error| if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
}

fn optional(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::{Hierarchy, find};

    #[test]
    fn finds_a_controller_in_either_version() {
        let v1 = "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n\
                  cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
                  cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        let v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        let memory = |_: &std::path::Path| "cpuset cpu io memory pids\n".to_owned();
        let none = |_: &std::path::Path| String::new();
        assert_eq!(find(v1, "memory", none), Ok(Hierarchy::V1("/sys/fs/cgroup/memory".into())));
        assert_eq!(find(v2, "memory", memory), Ok(Hierarchy::V2("/sys/fs/cgroup".into())));
        assert_eq!(find(v1, "cpu", none), Ok(Hierarchy::V1("/sys/fs/cgroup/cpu".into())));
        assert!(find(v2, "memory", none).is_err());
        assert!(find("proc /proc proc rw 0 0\n", "cpu", none).unwrap_err().contains("mounted"));
    }
}
