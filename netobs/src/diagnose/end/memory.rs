//! Whether a container's processes are being killed for want of memory.

use std::fs;
use std::path::{Path, PathBuf};

use super::kill;
use crate::diagnose::typed::word;
use crate::diagnose::{Culprit, Finding, Force, Rung};

/// A process's cgroup, and the memory limit that it lives under.
struct Group {
    /// Its path as the kernel's messages have it.
    name: String,
    /// How many of its processes were killed.
    kills: u64,
    /// The group whose limit it is: itself, or one above it.
    limited: Limited,
}

/// A cgroup that has a limit.
struct Limited {
    name: String,
    /// The file that holds the limit.
    file: PathBuf,
    limit: u64,
    /// The most that was ever used; `None` where this kernel does not say (`memory.peak`, 5.19).
    peak: Option<u64>,
}

/// Looks at the memory limit of the cgroup in which a process lives. `name` is what a person calls the container.
///
/// A kill under an earlier, lower limit is past. The kernel's log tells which limit it was; where it does not, a kill
/// counts only if as much as may be used now was in use once.
pub fn memory(name: &str, pid: i32) -> Option<Finding> {
    let Group { name: group, kills, limited } = group_of(pid).filter(|group| group.kills > 0)?;
    let Limited { file, limit, peak, .. } = &limited;
    let last = kill::last(&group);
    let counts = match last.as_ref().map(|kill| (kill, kill.limit)) {
        Some((kill, Some(then))) => kill.limited == limited.name && then >= *limit,
        Some((kill, None)) => kill.limited == limited.name,
        None => limited.name == group && peak.is_none_or(|peak| peak >= limit - limit / 20),
    };
    if !counts {
        return None;
    }
    let shown = megabytes(*limit);
    let times = if kills == 1 { "once".to_owned() } else { format!("{kills} times") };
    let mut evidence =
        vec![format!("cgroup {group} counts oom_kill {kills}"), format!("{} is {limit}", file.display())];
    if let Some(kill) = &last {
        let ago = kill.ago().map(|ago| format!(" {} s ago", ago.as_secs())).unwrap_or_default();
        evidence.push(format!("the kernel's log: {} (pid {}) was killed{ago}", kill.task, kill.pid));
    }
    if let Some(peak) = peak {
        evidence.push(format!("the most that was ever used there is {}", megabytes(*peak)));
    }
    if let Some(free) = machine_free() {
        evidence.push(format!("the machine as a whole has {} available", megabytes(free)));
    }
    Some(Finding {
        cause: "oom-kill",
        rung: Rung::Endpoint,
        force: Force::Harms,
        sentence: format!(
            "{name} may use {shown} of memory, and that was not enough: the kernel has killed a process in it {times}. \
             This is no fault of the network."
        ),
        culprit: Culprit {
            netns: Some(name.to_owned()),
            what: format!("memory limit of {shown}, cgroup {}", limited.name),
        },
        evidence,
        fix: vec![format!("echo {} > {}", limit.saturating_mul(2), word(&file.to_string_lossy()))],
        hints: vec![
            "who was killed, and when: dmesg -T | grep -i oom-kill".to_owned(),
            "a killed process ends with status 137 and without a word of its own; its neighbours live on".to_owned(),
        ],
    })
}

fn group_of(pid: i32) -> Option<Group> {
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let (unified, name) = membership(&own)?;
    let root = mount(&mounts, unified)?;
    let place = |name: &Path| root.join(name.strip_prefix("/").unwrap_or(name));
    let own = Path::new(&name);
    let events = if unified { "memory.events" } else { "memory.oom_control" };
    let events = fs::read_to_string(place(own).join(events)).ok()?;
    let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())?;
    // The limit may be set further up, for several groups together.
    let limited = own.ancestors().find_map(|above| limited(&place(above), above, unified))?;
    Some(Group { name: name.clone(), kills, limited })
}

/// Which hierarchy has the memory controller, and the process's group in it (`cgroups(7)`).
fn membership(text: &str) -> Option<(bool, String)> {
    let mut unified = None;
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (_, Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        if controllers.split(',').any(|name| name == "memory") {
            return Some((false, path.to_owned()));
        }
        if controllers.is_empty() {
            unified = Some((true, path.to_owned()));
        }
    }
    unified
}

fn mount(mounts: &str, unified: bool) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        let right =
            if unified { kind == "cgroup2" } else { kind == "cgroup" && options.split(',').any(|o| o == "memory") };
        right.then(|| PathBuf::from(place))
    })
}

/// `None` if the group has no limit, or there is no such group.
fn limited(path: &Path, name: &Path, unified: bool) -> Option<Limited> {
    /// What version 1 says where nothing is limited is some pages short of `i64::MAX`.
    const NO_LIMIT: u64 = 1 << 60;
    let (file, peak) = match unified {
        true => ("memory.max", "memory.peak"),
        false => ("memory.limit_in_bytes", "memory.max_usage_in_bytes"),
    };
    let number = |file: &str| fs::read_to_string(path.join(file)).ok()?.trim().parse().ok();
    let limit = number(file).filter(|limit| *limit < NO_LIMIT)?;
    Some(Limited { name: name.display().to_string(), file: path.join(file), limit, peak: number(peak) })
}

fn machine_free() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

fn megabytes(bytes: u64) -> String {
    match bytes / 1_000_000 {
        0 => format!("{} kB", bytes / 1000),
        megabytes => format!("{megabytes} MB"),
    }
}

#[cfg(test)]
mod tests {
    use super::{membership, mount};

    #[test]
    fn the_group_is_found_in_either_version() {
        let v1 = "11:cpu,cpuacct:/a\n5:memory:/netobs/lab-c1\n0::/b\n";
        assert_eq!(membership(v1), Some((false, "/netobs/lab-c1".to_owned())));
        assert_eq!(membership("0::/netobs/lab-c1\n"), Some((true, "/netobs/lab-c1".to_owned())));
        assert_eq!(membership(""), None);
        let mounts = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        assert_eq!(mount(mounts, false), Some("/sys/fs/cgroup/memory".into()));
        assert_eq!(mount(mounts, true), Some("/sys/fs/cgroup".into()));
    }
}
