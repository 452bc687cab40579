//! What the agent may do, and no more.
//!
//! Of root's capabilities those of one table are left before anything is attached, and none can come back
//! (`no_new_privs`). Capabilities belong to threads: those that read namespaces keep the table's, and those that talk to
//! whoever connects keep none. Found out by taking each away (6.18).

use anyhow::Context;
use caps::{CapSet, Capability, CapsHashSet};

/// A capability that is kept, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Privilege {
    /// The capability.
    pub capability: Capability,
    /// What would not work without it.
    pub reason: &'static str,
}

/// All that are kept.
pub const PRIVILEGES: &[Privilege] = &[
    Privilege {
        capability: Capability::CAP_SYS_ADMIN,
        reason: "enters network namespaces: setns(2) takes it. Loading and attaching eBPF programs takes CAP_BPF and \
                 CAP_PERFMON, which it includes",
    },
    Privilege {
        capability: Capability::CAP_NET_ADMIN,
        reason: "asks each namespace for its connection tracking: ctnetlink answers nobody else. Programs for packets \
                 take it, too",
    },
    Privilege {
        capability: Capability::CAP_NET_BROADCAST,
        reason: "hears of nftables rules that come in other namespaces (NETLINK_LISTEN_ALL_NSID), where translations \
                 are to be counted from then on",
    },
    Privilege {
        capability: Capability::CAP_SYS_PTRACE,
        reason: "opens /proc/PID/ns/net of other users' processes: containers that have no name under /run/netns",
    },
    Privilege {
        capability: Capability::CAP_SYSLOG,
        reason: "reads addresses in /proc/kallsyms: the functions that drop packets, in modules loaded later, too",
    },
];

/// Lets go of every capability but those of the table, for this thread and those it will start.
///
/// # Errors
/// The kernel refuses.
pub fn keep_what_is_needed() -> anyhow::Result<()> {
    // SAFETY: takes no pointers.
    let status = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    anyhow::ensure!(status == 0, "set no_new_privs: {}", std::io::Error::last_os_error());
    let table: CapsHashSet = PRIVILEGES.iter().map(|privilege| privilege.capability).collect();
    // Without CAP_SETPCAP it stays as it is: with no_new_privs nothing comes back from there anyway.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false) {
        for capability in caps::read(None, CapSet::Bounding).context("read capabilities")?.difference(&table) {
            let _ = caps::drop(None, CapSet::Bounding, *capability);
        }
    }
    let held = caps::read(None, CapSet::Permitted).context("read capabilities")?;
    keep(&held.intersection(&table).copied().collect())
}

/// Lets go of all capabilities, for this thread and those it will start.
///
/// # Errors
/// The kernel refuses.
pub fn keep_none() -> anyhow::Result<()> {
    keep(&CapsHashSet::new())
}

fn keep(kept: &CapsHashSet) -> anyhow::Result<()> {
    let let_go = || {
        // What is no longer inheritable is no longer ambient.
        caps::clear(None, CapSet::Inheritable)?;
        caps::set(None, CapSet::Effective, kept)?;
        caps::set(None, CapSet::Permitted, kept)
    };
    let_go().context("let go of capabilities")
}
