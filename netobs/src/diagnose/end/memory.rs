//! Whether a container's processes are being killed for want of memory.

use std::fs;
use std::path::{Path, PathBuf};

use crate::diagnose::typed::word;
use crate::diagnose::{Culprit, Finding, Force, Rung};

/// A cgroup with a memory limit, of either version.
struct Group {
    /// Its directory.
    path: PathBuf,
    /// Its path as the kernel's messages have it.
    name: String,
    limit_file: &'static str,
    limit: u64,
    kills: u64,
    /// The most that it ever used; `None` where this kernel does not say (`memory.peak`, 5.19).
    peak: Option<u64>,
}

/// Looks at the memory limit of the cgroup in which a process lives. `name` is what a person calls the container.
///
/// A kill under an earlier, lower limit is past: it counts only if as much as may be used now was in use once.
pub fn memory(name: &str, pid: i32) -> Option<Finding> {
    let group = group_of(pid)?;
    let near = group.limit - group.limit / 20;
    if group.kills == 0 || group.peak.is_some_and(|peak| peak < near) {
        return None;
    }
    let limit = megabytes(group.limit);
    let times = if group.kills == 1 { "once".to_owned() } else { format!("{} times", group.kills) };
    let file = group.path.join(group.limit_file);
    let mut evidence = vec![
        format!("{} counts oom_kill {}", group.path.display(), group.kills),
        format!("{} is {}", file.display(), group.limit),
    ];
    if let Some(peak) = group.peak {
        evidence.push(format!("the most that it ever used is {peak} bytes"));
    }
    evidence.push(match machine_free() {
        Some(free) => format!("the machine as a whole has {} available", megabytes(free)),
        None => "how much memory the machine has available cannot be read".to_owned(),
    });
    Some(Finding {
        cause: "oom-kill",
        rung: Rung::Endpoint,
        force: Force::Harms,
        sentence: format!(
            "{name} may use {limit} of memory, and that was not enough: the kernel has killed a process in it {times}. \
             This is no fault of the network."
        ),
        culprit: Culprit {
            netns: Some(name.to_owned()),
            what: format!("memory limit of {limit}, cgroup {}", group.name),
        },
        evidence,
        fix: vec![format!("echo {} > {}", group.limit.saturating_mul(2), word(&file.to_string_lossy()))],
        hints: vec![
            "who was killed, and when: dmesg -T | grep -i 'oom-kill\\|killed process'".to_owned(),
            "a killed process ends with status 137 and without a word of its own; its neighbours live on".to_owned(),
        ],
    })
}

fn group_of(pid: i32) -> Option<Group> {
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let (unified, name) = membership(&own)?;
    let root = mount(&mounts, unified)?;
    // The limit may be set further up, for several groups together.
    let mut name = Path::new(&name);
    loop {
        let path = root.join(name.strip_prefix("/").unwrap_or(name));
        if let Some(group) = read(&path, name, unified) {
            return Some(group);
        }
        name = name.parent()?;
    }
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
fn read(path: &Path, name: &Path, unified: bool) -> Option<Group> {
    /// What version 1 says where nothing is limited is some pages short of `i64::MAX`.
    const NO_LIMIT: u64 = 1 << 60;
    let (limit_file, events, peak) = match unified {
        true => ("memory.max", "memory.events", "memory.peak"),
        false => ("memory.limit_in_bytes", "memory.oom_control", "memory.max_usage_in_bytes"),
    };
    let text = |file: &str| fs::read_to_string(path.join(file)).ok();
    let limit = text(limit_file)?.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)?;
    let events = text(events)?;
    let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())?;
    let peak = text(peak).and_then(|text| text.trim().parse().ok());
    Some(Group { path: path.to_owned(), name: name.display().to_string(), limit_file, limit, kills, peak })
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
