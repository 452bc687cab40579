//! A container's memory limit, by whichever cgroup version has the memory controller on this machine.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use super::{Error, LabName, Result};

/// Which controllers a version 2 group hands down.
const CONTROL: &str = "cgroup.subtree_control";
/// The group above all labs' groups.
const GROUP: &str = "netobs";
/// The directory whose lock guards the parent group.
const LOCKED: &str = "/run/netobs";
/// Says that the root group hands the memory controller down only because of us.
const HANDED_DOWN: &str = "/run/netobs/cgroup-memory";
/// The kernel refuses to remove a group for a moment after its last process has ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the memory controller is.
#[derive(Debug, PartialEq, Eq)]
enum Hierarchy {
    /// A hierarchy of its own.
    V1(PathBuf),
    /// The unified one.
    V2(PathBuf),
}

/// The directory that a node's group will have, or why there can be none.
pub(super) fn plan(lab: &LabName, node: &str) -> std::result::Result<PathBuf, String> {
    let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| format!("/proc/self/mounts: {error}"))?;
    let controllers = |root: &Path| fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    let (Hierarchy::V1(root) | Hierarchy::V2(root)) = find(&mounts, controllers)?;
    Ok(root.join(GROUP).join(lab.namespace(node)))
}

fn find(mounts: &str, controllers: impl Fn(&Path) -> String) -> std::result::Result<Hierarchy, String> {
    let mut unified = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(place), Some(kind), Some(options)) = (fields.next(), fields.next(), fields.next()) else { continue };
        if kind == "cgroup" && options.split(',').any(|option| option == "memory") {
            return Ok(Hierarchy::V1(place.into()));
        }
        if kind == "cgroup2" {
            unified = Some(PathBuf::from(place));
        }
    }
    match unified {
        Some(root) if controllers(&root).split_whitespace().any(|name| name == "memory") => Ok(Hierarchy::V2(root)),
        Some(_) => Err("the cgroup hierarchy has no memory controller (kernel option cgroup_disable?)".to_owned()),
        None => Err("no cgroup hierarchy with the memory controller is mounted".to_owned()),
    }
}

/// Makes the group of a node and sets its limit.
pub(super) fn create(group: &Path, limit: u64) -> io::Result<()> {
    let parent = group.parent().ok_or(ErrorKind::InvalidInput)?;
    let root = parent.parent().ok_or(ErrorKind::InvalidInput)?;
    let unified = root.join("cgroup.controllers").exists();
    {
        // The last lab that goes takes the parent along; not between these steps.
        let _lock = lock_parent()?;
        exists_or(fs::create_dir(parent))?;
        if unified {
            // A version 2 group has only the controllers that each group above it hands down.
            if !hands_down(root)? {
                fs::write(HANDED_DOWN, "")?;
                fs::write(root.join(CONTROL), "+memory")?;
            }
            if !hands_down(parent)? {
                fs::write(parent.join(CONTROL), "+memory")?;
            }
        }
        exists_or(fs::create_dir(group))?;
    }
    if unified {
        fs::write(group.join("memory.max"), limit.to_string())?;
        optional(fs::write(group.join("memory.swap.max"), "0"))
    } else {
        fs::write(group.join("memory.limit_in_bytes"), limit.to_string())?;
        // Memory and swap together: only there if the kernel accounts for swap.
        optional(fs::write(group.join("memory.memsw.limit_in_bytes"), limit.to_string()))
    }
}

/// Keeps other builders and removers away from the group above all labs' groups.
fn lock_parent() -> io::Result<Flock<File>> {
    Flock::lock(File::open(LOCKED)?, FlockArg::LockExclusive).map_err(|(_, error)| error.into())
}

/// Whether the groups below may use the memory controller. On most machines the init system has seen to it.
fn hands_down(group: &Path) -> io::Result<bool> {
    Ok(fs::read_to_string(group.join(CONTROL))?.split_whitespace().any(|name| name == "memory"))
}

/// Moves a process into the group; 0 is the caller.
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
    if fs::remove_dir(parent).is_ok() && fs::remove_file(HANDED_DOWN).is_ok() {
        // Refused if somebody else has come to use it.
        let _ = parent.parent().map(|root| fs::write(root.join(CONTROL), "-memory"));
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
    fn finds_the_memory_controller_in_either_version() {
        let v1 = "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n\
                  cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
                  cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        let v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        let memory = |_: &std::path::Path| "cpuset cpu io memory pids\n".to_owned();
        let none = |_: &std::path::Path| String::new();
        assert_eq!(find(v1, none), Ok(Hierarchy::V1("/sys/fs/cgroup/memory".into())));
        assert_eq!(find(v2, memory), Ok(Hierarchy::V2("/sys/fs/cgroup".into())));
        assert!(find(v2, none).is_err());
        assert!(find("proc /proc proc rw 0 0\n", none).unwrap_err().contains("mounted"));
    }
}
