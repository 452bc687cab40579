//! Attaches the netfilter program in namespaces that have rules, and detaches it where a namespace is about to go.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::agent::census::{Census, Namespace};
use crate::netns::{Netns, NetnsCookie, in_netns};
use crate::probe::nat::{NatHooks, NatLinks};

/// `NFNLGRP_NFTABLES`: rules of nftables, those of iptables-nft included, came, went or changed.
const RULES: u32 = 7;
/// A link keeps its namespace alive, so links are let go soon after everybody else has.
const LET_GO: Duration = Duration::from_millis(400);
/// Looking may take this share of the time at most, however much happens.
const SHARE: u32 = 20;

/// A thread that attaches and detaches until this is dropped.
pub struct Tender {
    shared: Arc<Mutex<Shared>>,
    /// Closing it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Connection tracking was found at work there, whatever the rules.
    tracking: HashSet<NetnsCookie>,
    /// Namespaces where the kernel refused.
    refused: HashSet<NetnsCookie>,
    /// Those where it is attached.
    attached: Vec<NetnsCookie>,
}

impl Tender {
    /// Attaches where there are rules now before it returns, and begins to listen.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(hooks: NatHooks, census: Arc<Mutex<Census>>) -> io::Result<Self> {
        let (stop, stopped) = UnixStream::pair()?;
        let shared = Arc::new(Mutex::default());
        let mut work = Work {
            hooks,
            census,
            shared: Arc::clone(&shared),
            covered: HashMap::new(),
            generation: 0,
            rules: rules(),
            stopped,
        };
        work.cover(true);
        let thread = thread::Builder::new().name("translations".to_owned()).spawn(move || work.run())?;
        Ok(Self { shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Connection tracking is at work in these namespaces.
    pub fn is_tracking(&self, namespaces: &[NetnsCookie]) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).tracking.extend(namespaces);
    }

    /// Namespaces where it is attached.
    pub fn attached(&self) -> Vec<NetnsCookie> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).attached.clone()
    }

    /// Whether it is attached wherever there are rules.
    pub fn is_everywhere(&self) -> bool {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).refused.is_empty()
    }
}

impl Drop for Tender {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    hooks: NatHooks,
    census: Arc<Mutex<Census>>,
    shared: Arc<Mutex<Shared>>,
    /// Every namespace that was looked at, with what is attached there: nothing where there were no rules.
    covered: HashMap<NetnsCookie, (Namespace, Option<NatLinks>)>,
    /// The census's when it was looked at.
    generation: u64,
    rules: Option<Socket>,
    stopped: UnixStream,
}

impl Work {
    fn run(mut self) {
        let mut next = Instant::now();
        let mut have_rules_changed = false;
        while let Some(changed) = self.wait() {
            have_rules_changed |= changed;
            if Instant::now() < next {
                continue;
            }
            let began = Instant::now();
            self.let_go();
            self.cover(std::mem::take(&mut have_rules_changed));
            next = Instant::now() + began.elapsed() * (SHARE - 1);
        }
    }

    /// Waits for a moment, or until rules change. Says whether they did; `None` at the end.
    fn wait(&self) -> Option<bool> {
        let mut sources = vec![PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN)];
        sources.extend(self.rules.as_ref().map(|rules| {
            // SAFETY: the socket is open for as long as `self` is borrowed.
            PollFd::new(unsafe { BorrowedFd::borrow_raw(rules.as_raw_fd()) }, PollFlags::POLLIN)
        }));
        let timeout = PollTimeout::try_from(LET_GO).unwrap_or(PollTimeout::MAX);
        let count = poll(&mut sources, timeout).unwrap_or(0);
        if sources.first().and_then(PollFd::any).unwrap_or(false) {
            return None;
        }
        if let Some(rules) = self.rules.as_ref().filter(|_| count > 0) {
            // What it says does not matter, nor that some of it was lost.
            let mut message = Vec::with_capacity(8 << 10);
            while rules.recv(&mut message, libc::MSG_DONTWAIT).is_ok() {
                message.clear();
            }
        }
        Some(count > 0)
    }

    /// Detaches where nobody else holds on to the namespace by the way it is known.
    fn let_go(&mut self) {
        self.covered.retain(|_, (netns, links)| links.is_none() || netns.is_there());
    }

    /// Attaches in namespaces that came since, and if rules changed in all that had none.
    fn cover(&mut self, have_rules_changed: bool) {
        let tracking = std::mem::take(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner).tracking);
        let (generation, alive) = {
            let census = self.census.lock().unwrap_or_else(PoisonError::into_inner);
            let is_same = census.generation() == self.generation;
            if is_same && !have_rules_changed && tracking.is_empty() {
                return;
            }
            (census.generation(), census.alive())
        };
        self.generation = generation;
        let cookies: HashSet<_> = alive.iter().map(|netns| netns.cookie).collect();
        self.covered.retain(|cookie, _| cookies.contains(cookie));
        let mut refused = HashSet::new();
        for netns in alive {
            let is_tracking = tracking.contains(&netns.cookie);
            let is_due = match self.covered.get(&netns.cookie) {
                None => true,
                Some((_, None)) => have_rules_changed || is_tracking,
                Some((_, Some(_))) => false,
            };
            let Some(open) = is_due.then(|| netns.open()).flatten() else { continue };
            let links = self.hooks.attach(&open, !is_tracking).unwrap_or_else(|_| {
                refused.insert(netns.cookie);
                None
            });
            self.covered.insert(netns.cookie, (netns, links));
        }
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.refused.retain(|cookie| matches!(self.covered.get(cookie), Some((_, None))));
        shared.refused.extend(refused);
        let attached = self.covered.iter().filter(|(_, (_, links))| links.is_some());
        shared.attached = attached.map(|(cookie, _)| *cookie).collect();
    }
}

/// Changes of rules in the machine's own namespace, and in those it has a link into.
fn rules() -> Option<Socket> {
    let host = Netns::host().ok()?;
    let open = || -> io::Result<Socket> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.set_listen_all_namespaces(true)?;
        socket.add_membership(RULES)?;
        Ok(socket)
    };
    in_netns(&host, open).ok()?.ok()
}
