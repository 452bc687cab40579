//! Names for the numbers of a row, also when what they name has gone.

use std::collections::{HashMap, HashSet};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::event::Proto;
use crate::netns::{Netns, NetnsCookie, NetnsInode, PINS, Pinned, pin_path, pinned};
use crate::probe::Kernel;
use crate::probe::drops::DropRow;
use crate::state::Namespaces;
use crate::symbols::Symbols;

/// Where a packet was freed: a function, or an address that is in none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// By its name.
    Function(String),
    /// By the return address.
    Address(u64),
}

/// A row in names. Rows of the kernel's table that differ only in where in one function the packet was freed are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Named {
    /// The kernel's name of the reason.
    pub reason: Option<String>,
    /// The kernel's number of the reason.
    pub reason_number: u32,
    /// Who dropped it.
    pub place: Option<Place>,
    /// The namespace's name, the last one it was known by.
    pub netns: Option<String>,
    /// The namespace's inode number.
    pub netns_inode: Option<u32>,
    /// Told apart by this from an earlier namespace that had the same inode.
    cookie: Option<u64>,
    /// The device's name then.
    pub device: Option<String>,
    /// The device's index in its namespace.
    pub ifindex: Option<u32>,
    /// The protocol.
    pub proto: Option<String>,
}

/// Knows names, and remembers those of namespaces that have gone.
///
/// A namespace with a name under `/run/netns` is remembered from its beginning on, so that drops in one that lives
/// shorter than the interval between two readings have a name, too. One that only processes keep is asked for when a drop
/// in it is first read.
pub struct Names<'k> {
    kernel: &'k Kernel,
    symbols: Symbols,
    namespaces: Namespaces,
    by_cookie: HashMap<NetnsCookie, String>,
    /// Pins whose cookie was asked for.
    pins: HashSet<(String, NetnsInode)>,
    watch: Option<Inotify>,
    /// `ip netns add` makes the file first and mounts the namespace over it then, which no event tells of.
    look_again: bool,
}

impl<'k> Names<'k> {
    /// Names of the running machine. Remembers the namespaces that have one now.
    pub fn new(kernel: &'k Kernel, namespaces: Namespaces) -> Self {
        let mut names = Self {
            kernel,
            symbols: Symbols::new(),
            namespaces,
            by_cookie: HashMap::new(),
            pins: HashSet::new(),
            watch: None,
            look_again: false,
        };
        names.tend();
        // The table of functions takes a moment to read: now, not at the first drop.
        names.symbols.unavailable();
        names
    }

    /// Looks for namespaces that came. To be called often; costs next to nothing if there is none.
    pub fn tend(&mut self) {
        let changed = match &self.watch {
            Some(inotify) => inotify.read_events().is_ok_and(|events| events.iter().any(|event| event.name.is_some())),
            None => {
                self.watch = watch();
                self.watch.is_some()
            }
        };
        if changed || self.look_again {
            self.learn();
        }
        self.look_again = changed;
    }

    /// The namespaces that have names now.
    fn learn(&mut self) {
        let found: HashSet<_> =
            pinned().unwrap_or_default().into_iter().map(|Pinned { name, inode }| (name, inode)).collect();
        for pin in &found {
            if self.pins.contains(pin) {
                continue;
            }
            if let Some(cookie) = Netns::at(pin_path(&pin.0)).ok().and_then(|netns| netns.cookie().ok()) {
                self.by_cookie.insert(cookie, pin.0.clone());
            }
        }
        // One that comes again under the same name and inode may be another namespace.
        self.pins = found;
    }

    /// Names a row.
    pub fn name(&mut self, row: &DropRow) -> Named {
        let place = row.location.map(|address| match self.symbols.name(address) {
            Some(name) => Place::Function(name.to_owned()),
            None => Place::Address(address),
        });
        Named {
            reason: self.kernel.reason(row.reason).map(str::to_owned),
            reason_number: row.reason.0,
            place,
            netns: row.netns.and_then(|inode| self.netns(inode, row.cookie)),
            netns_inode: row.netns.map(|netns| netns.0),
            cookie: row.cookie.map(|cookie| cookie.0),
            device: row.device.map(|device| device.to_string_lossy()),
            ifindex: row.ifindex.map(|ifindex| ifindex.0),
            proto: row.proto.map(Proto::name),
        }
    }

    /// Without a cookie (before 5.12) an inode must do, which another namespace may have by now.
    fn netns(&mut self, inode: NetnsInode, cookie: Option<NetnsCookie>) -> Option<String> {
        let Some(cookie) = cookie else { return self.namespaces.name(inode).map(str::to_owned) };
        if let Some(name) = self.by_cookie.get(&cookie) {
            return Some(name.clone());
        }
        let now = self.namespaces.open(inode)?.cookie().ok()?;
        if now != cookie {
            return None;
        }
        let name = self.namespaces.name(inode)?.to_owned();
        self.by_cookie.insert(cookie, name.clone());
        Some(name)
    }
}

fn watch() -> Option<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
    inotify.add_watch(PINS, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_CLOSE | AddWatchFlags::IN_DELETE).ok()?;
    Some(inotify)
}
