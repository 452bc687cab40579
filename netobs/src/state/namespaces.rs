//! Names for namespace inodes.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::netns::{Netns, NetnsInode, PINS, host_path, pinned};

/// An inode that nobody knows is looked for this often at most: a flood from a namespace that is gone must not cost a
/// walk through /proc for each packet.
const RESCAN: Duration = Duration::from_millis(100);

/// What a namespace is called, and where it can be entered.
#[derive(Clone, Debug)]
struct Known {
    name: String,
    path: PathBuf,
}

/// Names of network namespaces: `host`, the name under `/run/netns`, or `pid:N` for one that only processes keep.
///
/// Looked up when an inode is unknown, and, by those who watch, when a name under `/run/netns` came or went.
#[derive(Debug, Default)]
pub struct Namespaces {
    known: HashMap<NetnsInode, Known>,
    scanned: Option<Instant>,
    watches: bool,
    pins: Option<Inotify>,
    generation: u64,
}

impl Namespaces {
    /// Nothing known yet. For those who ask about what was there when they began: a name that changes later is not
    /// noticed, nor for a moment a namespace that comes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for those who go on asking. inotify keeps the names fresh; it costs the kernel a grace period (20 ms) to
    /// begin and another to end.
    pub fn watched() -> Self {
        Self { watches: true, ..Self::default() }
    }

    /// The name of a namespace. `None` if it was gone before anybody could ask.
    pub fn name(&mut self, inode: NetnsInode) -> Option<&str> {
        self.find(inode).map(|known| known.name.as_str())
    }

    /// Opens a namespace for looking into it.
    pub fn open(&mut self, inode: NetnsInode) -> Option<Netns> {
        let path = self.find(inode)?.path.clone();
        // The path may belong to another namespace by now.
        Netns::at(path).ok().filter(|netns| netns.inode() == inode)
    }

    /// Changes whenever a name under `/run/netns` came or went.
    pub fn generation(&mut self) -> u64 {
        if self.pins_changed() {
            self.scanned = None;
        }
        self.generation
    }

    /// Whether anybody beside us still holds on to the namespace: a name or a process.
    pub fn exists(&mut self, inode: NetnsInode) -> bool {
        let is_there =
            |known: Option<&Known>| known.is_some_and(|known| NetnsInode::behind(&known.path) == Some(inode));
        is_there(self.known.get(&inode)) || {
            // Its path may have gone while another leads to it, too.
            self.scan();
            is_there(self.known.get(&inode))
        }
    }

    /// Every namespace that can be found now, by name.
    pub fn all(&mut self) -> Vec<(NetnsInode, String)> {
        self.scan();
        let mut all: Vec<_> = self.known.iter().map(|(inode, known)| (*inode, known.name.clone())).collect();
        all.sort_by(|(_, a), (_, b)| a.cmp(b));
        all
    }

    fn find(&mut self, inode: NetnsInode) -> Option<&Known> {
        if self.pins_changed() {
            self.scanned = None;
        }
        let due = self.scanned.is_none_or(|scanned| scanned.elapsed() > RESCAN && !self.known.contains_key(&inode));
        if due {
            self.scan();
        }
        self.known.get(&inode)
    }

    /// Whether a name under `/run/netns` came or went since the last call.
    fn pins_changed(&mut self) -> bool {
        match &self.pins {
            // An event without a name is about the directory itself: a scan, which lists it, would bring on the next.
            Some(inotify) => {
                let changed = inotify.read_events().is_ok_and(|events| events.iter().any(|event| event.name.is_some()));
                self.generation += u64::from(changed);
                changed
            }
            None if self.watches => {
                self.pins = watch();
                self.pins.is_some()
            }
            None => false,
        }
    }

    fn scan(&mut self) {
        self.scanned = Some(Instant::now());
        self.known.clear();
        // The later insertion wins: a process, then a pinned name, then the machine's own namespace.
        let mut processes: Vec<i32> = entries(Path::new("/proc")).filter_map(|name| name.parse().ok()).collect();
        processes.sort_unstable_by(|a, b| b.cmp(a));
        for pid in processes {
            let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
            self.insert(format!("pid:{pid}"), path);
        }
        for pin in pinned().unwrap_or_default() {
            let path = Path::new(PINS).join(&pin.name);
            self.known.insert(pin.inode, Known { name: pin.name, path });
        }
        // Where the machine's own may not be looked at, ours is taken for it, unless somebody gave it another name.
        let own = PathBuf::from("/proc/self/ns/net");
        if let Some(path) = host_path() {
            self.insert("host".into(), path.to_owned());
        } else if NetnsInode::behind(&own)
            .and_then(|own| self.known.get(&own))
            .is_some_and(|own| !own.path.starts_with(PINS))
        {
            self.insert("host".into(), own);
        }
    }

    fn insert(&mut self, name: String, path: PathBuf) {
        if let Some(inode) = NetnsInode::behind(&path) {
            self.known.insert(inode, Known { name, path });
        }
    }
}

fn watch() -> Option<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
    // `ip netns add` creates the file and then mounts over it: only an unmount or a deletion is seen of the mount, so
    // every event leads to a fresh look.
    let changes = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_CLOSE;
    inotify.add_watch(PINS, changes).ok()?;
    Some(inotify)
}

fn entries(directory: &Path) -> impl Iterator<Item = String> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_namespace_with_a_name() {
        let own = Netns::own().unwrap().inode();
        let mut namespaces = Namespaces::new();
        let name = namespaces.name(own).map(str::to_owned);
        assert!(name.is_some(), "{namespaces:?}");
        assert_eq!(namespaces.open(own).unwrap().inode(), own);
        assert_eq!(namespaces.name(NetnsInode(1)), None);
    }
}
