//! What the kernel's log says of the last process that was killed for memory.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A record of `/dev/kmsg` is never longer (`PRINTKRB_RECORD_MAX`).
const RECORD: usize = 8192;

/// A process that was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kill {
    /// Its name, as it chose it.
    pub(super) task: String,
    /// Its id.
    pub(super) pid: i32,
    /// The cgroup whose limit was met.
    pub(super) limited: String,
    /// That limit at the time, in bytes.
    pub(super) limit: Option<u64>,
    /// When, since the machine started.
    at: Duration,
}

impl Kill {
    /// How long ago.
    pub(super) fn ago(&self) -> Option<Duration> {
        let now: Duration = clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?.into();
        now.checked_sub(self.at)
    }
}

/// The last kill in a cgroup. `None` if the log does not tell: it may not be read, or it was long ago.
pub(super) fn last(group: &str) -> Option<Kill> {
    let mut log = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg").ok()?;
    let (mut found, mut limit) = (None, None);
    let mut buffer = vec![0; RECORD];
    loop {
        match log.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                let record = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
                found = read(&record, group, &mut limit).or(found);
            }
            // The record was overwritten while we were at it.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPIPE | libc::EINTR)) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(_) => return None,
        }
    }
    found
}

/// `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT`. The limit is told some lines before the kill (`mem_cgroup_print_oom_meminfo`).
fn read(record: &str, group: &str, limit: &mut Option<u64>) -> Option<Kill> {
    let (prefix, text) = record.split_once(';')?;
    let text = text.lines().next()?;
    if let Some(rest) = text.strip_prefix("memory: usage ") {
        let kilobytes = rest.split_once("limit ").and_then(|(_, rest)| rest.split_once("kB"));
        *limit = kilobytes.and_then(|(number, _)| number.parse::<u64>().ok()?.checked_mul(1024));
        return None;
    }
    let fields = text.strip_prefix("oom-kill:")?;
    // `dump_oom_summary`; a task's name may have commas in it, but comes behind the groups.
    let field = |key: &str| {
        let (_, rest) = fields.split_once(&format!(",{key}="))?;
        Some(rest.split(',').next().unwrap_or(rest).to_owned())
    };
    if field("task_memcg")? != group {
        return None;
    }
    let (_, task) = fields.split_once(",task=")?;
    let (task, rest) = task.rsplit_once(",pid=")?;
    Some(Kill {
        task: task.to_owned(),
        pid: rest.split(',').next()?.parse().ok()?,
        limited: field("oom_memcg")?,
        limit: limit.take(),
        at: Duration::from_micros(prefix.split(',').nth(2)?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_kill_is_read_from_the_kernels_log() {
        let mut limit = None;
        let usage = "6,4711,28373000000,-;memory: usage 48828kB, limit 48828kB, failcnt 24\n";
        assert_eq!(read(usage, "/netobs/lab-c1", &mut limit), None);
        let kill = "6,4712,28373000001,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,\
                    oom_memcg=/netobs/lab-c1,task_memcg=/netobs/lab-c1,task=d,d,pid=99,uid=0\n SUBSYSTEM=x\n";
        assert_eq!(read(kill, "/netobs/lab-c2", &mut limit), None);
        let found = read(kill, "/netobs/lab-c1", &mut limit).unwrap();
        assert_eq!((found.task.as_str(), found.pid, found.limit), ("d,d", 99, Some(48_828 * 1024)));
        assert_eq!(found.limited, "/netobs/lab-c1");
        assert_eq!(read("6,1,1,-;eth0: link up", "/", &mut limit), None);
    }
}
