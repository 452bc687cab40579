//! Whose filter is it, and does that process still run?

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// What every mark of ours begins with.
const PREFIX: &str = "netobs";

/// One run of netobs. A pid alone may be another process's by now, and means nothing in another pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    pid_namespace: u64,
    pid: i32,
    /// Clock ticks from boot to the process's start (`/proc/<pid>/stat`, field 22).
    started: u64,
}

impl Owner {
    /// This process. Without `/proc` it is one that nobody will find alive.
    pub fn current() -> Self {
        let stat = Stat::read("self").unwrap_or(Stat { pid: 0, runs: true, started: 0 });
        Self { pid_namespace: pid_namespace("self").unwrap_or(0), pid: stat.pid, started: stat.started }
    }

    /// The owner a mark names; `None` if the mark is not one of ours.
    pub fn from_mark(mark: &str) -> Option<Self> {
        let mut parts = mark.split('-');
        let owner = match (parts.next()?, parts.next()?, parts.next()?, parts.next()?) {
            (PREFIX, namespace, pid, started) => {
                Self { pid_namespace: namespace.parse().ok()?, pid: pid.parse().ok()?, started: started.parse().ok()? }
            }
            _ => return None,
        };
        parts.next().is_none().then_some(owner)
    }

    /// Whether the process runs. One that was killed and not yet waited for does not.
    pub fn is_alive(&self) -> bool {
        if pid_namespace("self") == Some(self.pid_namespace) {
            return Stat::read(&self.pid.to_string()).is_some_and(|stat| stat.runs && stat.started == self.started);
        }
        // Its pid means nothing here. While its pid namespace has processes it may be one of them.
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter_map(|entry| entry.file_name().into_string().ok())
            .any(|name| name.parse::<i32>().is_ok() && pid_namespace(&name) == Some(self.pid_namespace))
    }
}

/// The mark itself: the name of a filter and of a record.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}-{}-{}-{}", self.pid_namespace, self.pid, self.started)
    }
}

struct Stat {
    pid: i32,
    runs: bool,
    started: u64,
}

impl Stat {
    fn read(process: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, which may hold anything, parentheses too.
        let (before, after) = text.rsplit_once(')')?;
        let mut fields = after.split_ascii_whitespace();
        let state = fields.next()?;
        Some(Self {
            pid: before.split_ascii_whitespace().next()?.parse().ok()?,
            runs: !matches!(state, "Z" | "X" | "x"),
            // Field 22, and the state is field 3.
            started: fields.nth(18)?.parse().ok()?,
        })
    }
}

fn pid_namespace(process: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{process}/ns/pid")).ok().map(|file| file.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_names_its_owner() {
        let owner = Owner::current();
        assert_eq!(Owner::from_mark(&owner.to_string()), Some(owner));
        for other in ["", "netobs", "netobs-1-2", "netobs-1-2-3-4", "cilium-1-2-3", "netobs-a-2-3", "netobs_1_2_3"] {
            assert_eq!(Owner::from_mark(other), None, "{other}");
        }
    }

    #[test]
    fn tells_the_living_from_the_dead() {
        let owner = Owner::current();
        assert!(owner.is_alive());
        assert!(!Owner { started: owner.started + 1, ..owner }.is_alive(), "a later process with the same pid");
        assert!(!Owner { pid: i32::MAX, ..owner }.is_alive());
        assert!(!Owner { pid_namespace: 1, ..owner }.is_alive(), "a pid namespace nobody is in");
    }

    #[test]
    fn a_zombie_is_dead_and_a_name_may_hold_anything() {
        let rest = "1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0";
        let stat = Stat::parse(&format!("42 (a) b (c)) S {rest}")).unwrap();
        assert_eq!((stat.pid, stat.runs, stat.started), (42, true, 777));
        assert!(!Stat::parse(&format!("42 (x) Z {rest}")).unwrap().runs);
    }
}
