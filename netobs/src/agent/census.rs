//! The machine's network namespaces, and the names that their series carry.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::container::{Engines, Group, Owner, Place};
use crate::netlink::Socket;
use crate::netns::{self, Netns, NetnsCookie, NetnsInode, in_each_netns, pin_path, pinned};

/// What a namespace is called that has no name and belongs to nobody who has one. Several share the name, and their
/// counters add up.
pub const UNNAMED: &str = "unnamed";
/// The namespace of a packet that none can be found for.
pub const UNKNOWN: &str = "unknown";
/// How long the name of one that has gone is remembered: its drops are read, and its series end, in less.
const MEMORY: Duration = Duration::from_secs(120);
/// Processes of one namespace whose cgroup is looked at.
const WITNESSES: usize = 4;
/// How long a namespace's processes may still be on their way into their cgroups.
const YOUTH: Duration = Duration::from_secs(10);

/// A namespace there is.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// Its name: see [`Census`].
    pub name: Arc<str>,
    /// Its inode.
    pub inode: NetnsInode,
    /// Its number that is never given out again.
    pub cookie: NetnsCookie,
    /// Whose it is.
    pub owner: Owner,
    /// Where it can be entered.
    path: PathBuf,
    /// What it was known by.
    found: Found,
    /// Each [`Group::key`] of the containers that share it, whoever gave it its name.
    containers: Vec<String>,
    /// When it was seen first.
    since: Instant,
}

impl Namespace {
    /// Opens it. `None` if it is gone, or its path leads to another by now.
    pub fn open(&self) -> Option<Netns> {
        Netns::at(&self.path).ok().filter(|netns| netns.inode() == self.inode)
    }

    /// Whether its path still leads to it.
    pub fn is_there(&self) -> bool {
        NetnsInode::behind(&self.path) == Some(self.inode)
    }
}

/// Every namespace that a name or a process keeps.
///
/// It is called `host`, or as the pod or container it belongs to, or by its name under `/run/netns`, or as the unit of
/// systemd its first process is of, or [`UNNAMED`]: never by a number that another start of the same thing would change.
#[derive(Debug, Default)]
pub struct Census {
    alive: HashMap<NetnsCookie, Namespace>,
    gone: HashMap<NetnsCookie, (Arc<str>, Instant)>,
    engines: Engines,
    generation: u64,
}

/// Names under `/run/netns` that were made or removed since the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Which.
    pub names: HashSet<String>,
    /// Any: there were so many that the kernel did not keep them all.
    pub any: bool,
}

/// A namespace that just got a name under `/run/netns`.
#[derive(Debug)]
pub struct NewPin {
    name: String,
    inode: NetnsInode,
    cookie: NetnsCookie,
}

impl NewPin {
    /// Looks behind names, and takes out of the set those that lead to a namespace or will never: `ip netns add` makes a
    /// file first that nobody may read, and mounts the namespace over it then.
    pub fn find(names: &mut HashSet<String>) -> Vec<Self> {
        let mut found = HashMap::new();
        names.retain(|name| match Netns::at(pin_path(name)) {
            Ok(netns) => {
                found.insert(netns.inode(), (name.clone(), netns));
                false
            }
            Err(netns::Error::NotANetns(_)) => true,
            Err(netns::Error::Open { source, .. }) => source.kind() == io::ErrorKind::PermissionDenied,
            Err(_) => false,
        });
        let (names, open): (HashMap<_, _>, Vec<_>) =
            found.into_iter().map(|(inode, (name, netns))| ((inode, name), netns)).unzip();
        let cookies = cookies(open.into_iter());
        let pin = |(inode, name)| Some(Self { name, inode, cookie: cookies.get(&inode).copied()? });
        names.into_iter().filter_map(pin).collect()
    }
}

/// What leads to a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    is_host: bool,
    pin: Option<String>,
    processes: Vec<i32>,
}

impl Census {
    /// Looks again. What is behind touched names may be another namespace even if its inode is the same.
    pub fn look(&mut self, touched: &Touched) {
        let found = find();
        let now = Instant::now();
        let by_inode: HashMap<NetnsInode, NetnsCookie> =
            self.alive.values().map(|known| (known.inode, known.cookie)).collect();
        let mut alive = HashMap::new();
        let mut fresh = Vec::new();
        for (inode, found) in found {
            let known = by_inode.get(&inode).and_then(|cookie| self.alive.get(cookie));
            let path = found.path();
            match known.filter(|known| known.path == path && !found.is_touched(touched)) {
                Some(known) if known.found == found && !self.is_due(known, now) => {
                    alive.insert(known.cookie, known.clone());
                }
                known => fresh.push((inode, path, known.map(|known| known.cookie), found)),
            }
        }
        let unknown = fresh.iter().filter(|(_, _, known, _)| known.is_none());
        let open = unknown.filter_map(|(inode, path, ..)| Netns::at(path).ok().filter(|netns| netns.inode() == *inode));
        let cookies = cookies(open);
        let places: Vec<_> = fresh.iter().map(|(_, _, _, found)| found.places()).collect();
        let groups = places.iter().flatten().flat_map(|(pid, place)| place.groups.iter().map(|group| (*pid, group)));
        self.engines.learn(&groups.collect::<Vec<_>>());
        for ((inode, path, known, found), places) in fresh.into_iter().zip(&places) {
            let Some(cookie) = known.or_else(|| cookies.get(&inode).copied()) else { continue };
            let known = known.and_then(|cookie| self.alive.get(&cookie));
            let since = known.map_or(now, |known| known.since);
            let (name, owner, containers) = match known {
                // A pod's namespace outlives the pod's processes by what it takes to clean up.
                Some(known) if !known.containers.is_empty() && found.processes.is_empty() => {
                    (Arc::clone(&known.name), known.owner.clone(), known.containers.clone())
                }
                _ => self.identify(&found, places),
            };
            alive.insert(cookie, Namespace { name, inode, cookie, owner, path, found, containers, since });
        }
        let is_same = |known: &Namespace| self.alive.get(&known.cookie).is_some_and(|old| old.path == known.path);
        self.generation += u64::from(alive.len() != self.alive.len() || !alive.values().all(is_same));
        for (cookie, known) in std::mem::replace(&mut self.alive, alive) {
            if !self.alive.contains_key(&cookie) {
                self.gone.insert(cookie, (known.name, now));
            }
        }
        let Self { alive, gone, engines, .. } = self;
        gone.retain(|cookie, (_, since)| !alive.contains_key(cookie) && now.duration_since(*since) < MEMORY);
        let containers: HashSet<_> = alive.values().flat_map(|known| &known.containers).map(String::as_str).collect();
        engines.keep(|key| containers.contains(key));
    }

    /// Whether more may be known of a namespace by now.
    fn is_due(&self, known: &Namespace, now: Instant) -> bool {
        if known.containers.is_empty() {
            return !known.found.is_host && now.duration_since(known.since) < YOUTH;
        }
        known.containers.iter().any(|container| self.engines.is_due(container))
    }

    /// Takes in namespaces that just got a name under `/run/netns`, without looking at anything else.
    pub fn take(&mut self, pins: Vec<NewPin>) {
        for NewPin { name, inode, cookie } in pins {
            self.generation += 1;
            // Inodes are given out again: whoever had this one has gone.
            let now = Instant::now();
            for (dead, known) in self.alive.extract_if(|_, known| known.inode == inode && known.cookie != cookie) {
                self.gone.insert(dead, (known.name, now));
            }
            // A process in it, or another name, may have brought it here under its right name already.
            self.alive.entry(cookie).or_insert_with(|| Namespace {
                name: name.as_str().into(),
                inode,
                cookie,
                owner: Owner::default(),
                path: pin_path(&name),
                found: Found { pin: Some(name), ..Found::default() },
                containers: Vec::new(),
                since: now,
            });
        }
    }

    /// Those there were at the last look.
    pub fn alive(&self) -> Vec<Namespace> {
        self.alive.values().cloned().collect()
    }

    /// Changes whenever namespaces came or went, or are reached in another way.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What a namespace is called, or was before it went.
    pub fn name(&self, cookie: NetnsCookie) -> Option<&Arc<str>> {
        let alive = self.alive.get(&cookie).map(|known| &known.name);
        alive.or_else(|| self.gone.get(&cookie).map(|(name, _)| name))
    }

    /// Whether it was there at the last look.
    pub fn is_alive(&self, cookie: NetnsCookie) -> bool {
        self.alive.contains_key(&cookie)
    }

    fn identify(&self, found: &Found, places: &[(i32, Place)]) -> (Arc<str>, Owner, Vec<String>) {
        if found.is_host {
            return ("host".into(), Owner::default(), Vec::new());
        }
        let groups = || places.iter().flat_map(|(_, place)| &place.groups);
        if let Some(owner) = self.engines.first(groups()) {
            let name = owner.name().unwrap_or_else(|| UNNAMED.to_owned());
            let mut containers: Vec<_> =
                groups().filter(|group| self.engines.owner(group).is_some()).map(Group::key).collect();
            containers.sort_unstable();
            containers.dedup();
            return (name.into(), owner.clone(), containers);
        }
        let unit = places.iter().find_map(|(_, place)| place.unit.clone());
        let name = found.pin.clone().or(unit).map_or_else(|| UNNAMED.into(), Into::into);
        (name, Owner::default(), Vec::new())
    }
}

impl Found {
    /// The way that will last longest.
    fn path(&self) -> PathBuf {
        match (&self.pin, self.processes.first()) {
            (Some(pin), _) if !self.is_host => pin_path(pin),
            (_, Some(pid)) => PathBuf::from(format!("/proc/{pid}/ns/net")),
            (Some(pin), None) => pin_path(pin),
            (None, None) => PathBuf::from("/proc/self/ns/net"),
        }
    }

    /// Where its processes are. The machine's own namespace needs no witness.
    fn places(&self) -> Vec<(i32, Place)> {
        let processes = if self.is_host { &[][..] } else { &self.processes };
        processes.iter().map(|pid| (*pid, Place::of(*pid))).collect()
    }

    fn is_touched(&self, touched: &Touched) -> bool {
        self.pin.as_ref().is_some_and(|pin| touched.any || touched.names.contains(pin))
    }
}

/// Every namespace, by what leads to it.
fn find() -> BTreeMap<NetnsInode, Found> {
    let mut all: BTreeMap<NetnsInode, Found> = BTreeMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut processes: Vec<i32> = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    processes.sort_unstable();
    for pid in processes {
        if let Some(inode) = NetnsInode::of_process(pid) {
            let found = all.entry(inode).or_default();
            if found.processes.len() < WITNESSES {
                found.processes.push(pid);
            }
        }
    }
    // Of several names of one namespace the first is taken: they are sorted.
    for pin in pinned().unwrap_or_default() {
        all.entry(pin.inode).or_default().pin.get_or_insert(pin.name);
    }
    if let Ok(host) = Netns::host() {
        all.entry(host.inode()).or_default().is_host = true;
    }
    all
}

/// Asks each namespace for its cookie, on one thread that enters them all.
fn cookies(open: impl Iterator<Item = Netns> + Send) -> HashMap<NetnsInode, NetnsCookie> {
    let ask = |netns: &Netns| {
        let cookie = Socket::open().ok().and_then(|socket| NetnsCookie::of_socket(&socket).ok());
        cookie.map(|cookie| (netns.inode(), cookie))
    };
    in_each_netns(open, ask).unwrap_or_default().into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn an_inode_that_is_given_out_again_is_anothers() {
        let pin = |name: &str, cookie| NewPin {
            name: name.to_owned(),
            inode: NetnsInode(4_026_532_000),
            cookie: NetnsCookie(cookie),
        };
        let mut census = Census::default();
        census.take(vec![pin("web", 7)]);
        census.take(vec![pin("web", 7)]);
        assert!(census.is_alive(NetnsCookie(7)));
        census.take(vec![pin("db", 8)]);
        assert!(census.is_alive(NetnsCookie(8)) && !census.is_alive(NetnsCookie(7)));
        let name = |cookie| census.name(NetnsCookie(cookie)).map(|name| &**name);
        assert_eq!((name(7), name(8)), (Some("web"), Some("db")), "what is gone is remembered for a while");
    }

    #[test]
    fn the_host_is_called_host_and_found_once() {
        let mut census = Census::default();
        census.look(&Touched::default());
        let alive = census.alive();
        // Entering any namespace, even one's own, takes CAP_SYS_ADMIN.
        if alive.is_empty() {
            // On the real standard error, which the harness does not capture.
            let _ = writeln!(io::stderr(), "SKIPPED the_host_is_called_host_and_found_once: not root");
            return;
        }
        let hosts: Vec<_> = alive.iter().filter(|known| &*known.name == "host").collect();
        assert_eq!(hosts.len(), 1, "{alive:?}");
        assert_eq!(hosts[0].open().unwrap().inode(), hosts[0].inode);
        assert!(census.is_alive(hosts[0].cookie));
        assert_eq!(census.name(NetnsCookie(u64::MAX)), None);
    }
}
