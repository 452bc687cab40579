//! PID 1 of a node: prepares the node's mounts and hostname, runs its servers, reaps what dies, ends when told.
//! `SIGUSR1` stops its servers and `SIGUSR2` starts them again.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, sethostname};
use serde::{Deserialize, Serialize};

use super::cgroup::{self, Group};
use super::container::LEASH;
use super::server::Servers;
use super::topology::Service;

/// What ends the leash in a good way.
pub(super) const RELEASE: &[u8] = b"live\n";

/// What PID 1 is to prepare.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Instructions {
    /// The lab, for the servers' answers.
    pub lab: String,
    /// The node; becomes the hostname.
    pub node: String,
    /// The node's `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// The node's `/etc/hosts`.
    pub hosts: String,
    /// The servers to run.
    pub services: Vec<Service>,
    /// The groups to be in.
    pub(super) groups: Vec<Group>,
}

impl Instructions {
    /// What `ps` shows after `netobs lab-init`.
    pub(super) fn title(&self) -> String {
        format!("{}-{}", self.lab, self.node)
    }
}

/// PID 1's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Report {
    /// All done but what the sentences say.
    Prepared { notes: Vec<String> },
    /// It cannot go on.
    Failed { message: String },
}

/// A directory of this program's that exists on every machine with a lab; in a node it holds the node's own files.
pub(super) const OWN: &str = "/run/netobs";

/// What the machine's programs keep while it runs.
const RUN: &str = "/run";

/// Runs as PID 1 until told to end. Not for people: `netobs lab up` starts it.
pub fn run() -> ExitCode {
    if getpid() != Pid::from_raw(1) {
        eprintln!("netobs: lab-init is the first process of a lab's node; `netobs lab up` starts it");
        return ExitCode::from(2);
    }
    // Blocked, signals wait for sigwait below; as PID 1 we would get them in no other way.
    let signals =
        SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD, Signal::SIGUSR1, Signal::SIGUSR2]);
    if signals.thread_block().is_err() {
        return ExitCode::FAILURE;
    }
    // SAFETY: our starter put the leash at this descriptor, and nothing in this fresh process has taken it.
    let leash = unsafe { UnixStream::from_raw_fd(LEASH) };
    // An error here means that the builder is gone; ending takes the node's namespaces with us, as it should.
    match serve_leash(leash) {
        Ok(servers) => reap_until_told(&signals, servers),
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve_leash(leash: UnixStream) -> io::Result<Servers> {
    let mut reader = BufReader::new(leash);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let instructions: Instructions = serde_json::from_str(&line)?;
    let (report, servers) = match prepare(instructions) {
        Ok((notes, servers)) => (Report::Prepared { notes }, Some(servers)),
        Err(message) => (Report::Failed { message }, None),
    };
    let mut answer = serde_json::to_vec(&report)?;
    answer.push(b'\n');
    reader.get_mut().write_all(&answer)?;
    let mut word = [0; RELEASE.len()];
    reader.read_exact(&mut word)?;
    servers.filter(|_| word == RELEASE).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn reap_until_told(signals: &SigSet, mut servers: Servers) -> ExitCode {
    loop {
        match signals.wait() {
            // Every orphan of the node becomes our child; those that have ended must be waited for.
            Ok(Signal::SIGCHLD) => {
                while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                    if status == WaitStatus::StillAlive {
                        break;
                    }
                }
            }
            Ok(Signal::SIGUSR1) => servers.stop(),
            // There is nobody to tell that it failed but the next to ask for the port.
            Ok(Signal::SIGUSR2) => drop(servers.start_again()),
            // The kernel kills whatever else runs in the PID namespace when its PID 1 ends.
            Ok(_) => return ExitCode::SUCCESS,
            Err(Errno::EINTR) => {}
            Err(_) => return ExitCode::FAILURE,
        }
    }
}

fn prepare(instructions: Instructions) -> Result<(Vec<String>, Servers), String> {
    let joined = |group: &Group| cgroup::enter(&group.path).map_err(|error| group.refused(&error));
    let mut notes: Vec<String> = instructions.groups.iter().filter_map(|group| joined(group).err()).collect();
    sethostname(&instructions.node).map_err(|error| format!("set the hostname: {error}"))?;
    separate_mounts()?;
    mount_fresh("proc", "/proc")?;
    // When the node's memory runs out, what eats it shall end, not the node: while a victim is still exiting the kernel
    // may look for a second one. Takes CAP_SYS_RESOURCE; without it the node merely is less safe.
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
    // /sys/class/net shows the namespace of whoever mounted it.
    mount_fresh("sysfs", "/sys")?;
    mount_fresh("tmpfs", OWN)?;
    for (file, text) in [("resolv.conf", &instructions.resolv_conf), ("hosts", &instructions.hosts)] {
        notes.extend(own_etc_file(file, text)?);
    }
    Ok((notes, Servers::start(instructions)?))
}

/// Makes mounts of ours invisible outside, and lets go of other people's namespaces.
fn separate_mounts() -> Result<(), String> {
    let separate = |path, how| mount(None::<&str>, path, None::<&str>, how, None::<&str>);
    let failed = |error| format!("separate the mounts: {error}");
    // Slave, not private: when a stranger unmounts something, our copy must not keep it alive.
    separate("/", MsFlags::MS_SLAVE | MsFlags::MS_REC).map_err(failed)?;
    // Here everything is let go of below, and nothing must come back: every name that a namespace is given would be
    // mounted in each of a hundred nodes. `/run/netns`, once bound to itself, is of the same peer group as `/run`.
    match separate(RUN, MsFlags::MS_PRIVATE) {
        // No mount of its own.
        Err(Errno::EINVAL) => {}
        other => other.map_err(failed)?,
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| format!("list the mounts: {error}"))?;
    for path in mounts.lines().filter_map(foreign_mount) {
        let _ = umount2(path.as_str(), MntFlags::MNT_DETACH);
    }
    Ok(())
}

/// Where a line of mountinfo says that something is mounted which is none of a node's business: a namespace, which a
/// copy would keep alive after its owner has removed it, or anything under `/run`. The line is
/// `… root MOUNTPOINT options [tags] - TYPE source options`.
fn foreign_mount(line: &str) -> Option<String> {
    let (place, kind) = line.split_once(" - ")?;
    let path = place.split(' ').nth(4).map(unescape)?;
    let under_run = Path::new(&path).starts_with(RUN) && path != RUN;
    (under_run || kind.starts_with("nsfs ")).then_some(path)
}

/// Undoes the kernel's octal escapes for blanks and backslashes (`mangle_path`).
fn unescape(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (code, character)| path.replace(code, character))
}

fn mount_fresh(kind: &str, target: &str) -> Result<(), String> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = (kind == "tmpfs").then_some("mode=755,size=1m");
    mount(Some(kind), target, Some(kind), flags, options).map_err(|error| format!("mount {kind} on {target}: {error}"))
}

/// Puts a file of the node's own over the machine's, in this mount namespace only. Returns a sentence if the machine
/// has no such file: one cannot be made without writing to its disk.
fn own_etc_file(file: &str, text: &str) -> Result<Option<String>, String> {
    let (own, seen) = (Path::new(OWN).join(file), Path::new("/etc").join(file));
    let mut made = File::create(&own).map_err(|error| format!("make {file}: {error}"))?;
    made.write_all(text.as_bytes()).map_err(|error| format!("write {file}: {error}"))?;
    if !seen.exists() {
        return Ok(Some(format!("the machine has no /etc/{file}, so the node has none of its own")));
    }
    mount(Some(&own), &seen, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map(|()| None)
        .map_err(|error| format!("mount over {}: {error}", seen.display()))
}

#[cfg(test)]
mod tests {
    use super::foreign_mount;

    #[test]
    fn finds_what_a_node_lets_go_of_among_the_mounts() {
        let pin = r"415 27 0:4 net:[4026532361] /srv/a\040b rw shared:9 - nsfs nsfs rw";
        assert_eq!(foreign_mount(pin).as_deref(), Some("/srv/a b"));
        let user = "416 28 0:44 / /run/user/1000 rw,nosuid - tmpfs tmpfs rw";
        assert_eq!(foreign_mount(user).as_deref(), Some("/run/user/1000"));
        assert_eq!(foreign_mount("28 27 0:25 / /run rw,nosuid shared:5 - tmpfs tmpfs rw"), None);
        assert_eq!(foreign_mount("29 27 0:26 / /runner rw - tmpfs tmpfs rw"), None);
        assert_eq!(foreign_mount("27 1 254:0 / / rw,relatime - ext4 /dev/vda rw"), None);
    }
}
