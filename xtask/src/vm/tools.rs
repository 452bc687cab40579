//! Which of this machine's programs and files an emulated machine gets.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::files::Files;
use crate::command::{CommandExt, which};

/// Programs that are taken when this machine has them. The rest of a system is busybox.
const PROGRAMS: &[&str] = &[
    // The lab's and the tests' subject.
    "ip",
    "ss",
    "tc",
    "bridge",
    "nft",
    "conntrack",
    "ping",
    "iperf3",
    "tcpdump",
    "bpftool",
    "ethtool",
    "nstat",
    "iptables",
    "iptables-save",
    "iptables-restore",
    "ip6tables",
    "ip6tables-save",
    "ip6tables-restore",
    "iptables-nft",
    "iptables-nft-save",
    "iptables-nft-restore",
    "ip6tables-nft",
    "ip6tables-nft-save",
    "ip6tables-nft-restore",
    "iptables-legacy",
    "iptables-legacy-save",
    "iptables-legacy-restore",
    "ip6tables-legacy",
    "ip6tables-legacy-save",
    "ip6tables-legacy-restore",
    // busybox's shell prefers busybox's own `ip` and `ping` whatever the PATH says.
    "sh",
    // busybox has smaller ones: it knows neither compressed modules nor all of these programs' options.
    "kmod",
    "modprobe",
    "insmod",
    "rmmod",
    "lsmod",
    "modinfo",
    "depmod",
    "sysctl",
    "ps",
    "pgrep",
    "pkill",
    "unshare",
    "nsenter",
    "setpriv",
    "prlimit",
    "mount",
    "umount",
    "findmnt",
    "timeout",
    "bash",
    "nc.openbsd",
    "curl",
    "strace",
];

/// Directories and files that programs open by name while they run.
const DATA: &[&str] = &[
    // Loaded by iptables for each match and target.
    "/usr/lib/x86_64-linux-gnu/xtables",
    "/etc/iproute2",
    "/usr/share/iproute2",
    "/etc/protocols",
    "/etc/services",
    "/etc/ethertypes",
    "/etc/nsswitch.conf",
    // Loaded by the C library when a thread is cancelled.
    "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1",
];

/// Directories that Debian keeps as links into /usr.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// The programs of the table that this machine has.
pub fn programs() -> Vec<PathBuf> {
    PROGRAMS.iter().filter_map(|name| which(name)).collect()
}

/// Adds everything that is the same for all kernels.
pub fn add(files: &mut Files) -> Result<()> {
    for directory in MERGED {
        files.directory(Path::new("/usr").join(directory), 0o755);
        files.link(Path::new("/").join(directory), &format!("usr/{directory}"));
    }
    for program in programs() {
        files.same(&program)?;
        files.libraries_of(&program)?;
    }
    for path in DATA.iter().map(Path::new).filter(|path| path.exists()) {
        if path.is_dir() {
            files.tree(path)?;
            for entry in fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?.flatten() {
                if entry.path().extension().is_some_and(|extension| extension == "so") {
                    files.libraries_of(&entry.path())?;
                }
            }
        } else {
            files.same(path)?;
            files.libraries_of(path)?;
        }
    }
    add_busybox(files)
}

/// busybox under the name of each of its programs that the machine's own do not bring.
fn add_busybox(files: &mut Files) -> Result<()> {
    let busybox = which("busybox").context("busybox is missing: run `cargo xtask setup`")?;
    files.copy(&busybox, "/usr/bin/busybox");
    files.libraries_of(&busybox)?;
    for name in Command::new(&busybox).arg("--list").capture()?.lines() {
        let taken = ["/usr/bin", "/usr/sbin"].iter().any(|directory| files.contains(Path::new(directory).join(name)));
        if !taken {
            files.link(Path::new("/usr/bin").join(name), "busybox");
        }
    }
    Ok(())
}
