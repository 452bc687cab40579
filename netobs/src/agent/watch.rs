//! Notices namespaces that come and go, by what the kernel tells of it.
//!
//! A name under `/run/netns` is a file (inotify) with a mount over it (`poll` on mountinfo); a container without one gets
//! a link into the machine's own namespace (rtnetlink). What tells nothing, a process that unshares its namespace, is
//! found when it is scraped.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::census::Census;
use crate::netns::{Netns, PINS, in_netns};

/// `RTMGRP_LINK`: links that come, go and change.
const LINKS: u32 = 1;
/// `RTNLGRP_NSID`: a namespace got a number here, since a link leads there.
const NSIDS: u32 = 28;
/// Things happen together: a container that starts makes a dozen changes.
const PAUSE: Duration = Duration::from_millis(5);
/// Looking may take this share of the time at most, however much happens.
const SHARE: u32 = 10;

/// A thread that keeps a census up to date until this is dropped.
#[derive(Debug)]
pub struct Watch {
    /// Closing it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to listen, and looks for the first time before it returns.
    ///
    /// # Errors
    /// No thread or socket can be had.
    pub fn start(census: Arc<Mutex<Census>>) -> io::Result<Self> {
        let (stop, stopped) = UnixStream::pair()?;
        let mut ears = Ears { pins: None, mounts: File::open("/proc/self/mountinfo").ok(), links: links(), stopped };
        ears.listen_to_pins();
        look(&census, &HashSet::new());
        let thread = thread::Builder::new().name("namespaces".to_owned()).spawn(move || ears.follow(&census))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn look(census: &Mutex<Census>, touched: &HashSet<String>) {
    census.lock().unwrap_or_else(PoisonError::into_inner).look(touched);
}

/// What is listened to.
struct Ears {
    /// `None` before the first `ip netns add` of a machine's life.
    pins: Option<Inotify>,
    mounts: Option<File>,
    links: Option<Socket>,
    stopped: UnixStream,
}

impl Ears {
    fn follow(mut self, census: &Mutex<Census>) {
        let mut touched = HashSet::new();
        let mut fresh = HashSet::new();
        let mut next = Instant::now();
        let mut due = false;
        loop {
            let now = Instant::now();
            let wait = if due { Some(next.saturating_duration_since(now)) } else { None };
            match self.hear(wait, &mut fresh) {
                Heard::End => return,
                Heard::Something if !due => {
                    due = true;
                    next = next.max(Instant::now() + PAUSE);
                }
                Heard::Something | Heard::Nothing => {}
            }
            touched.extend(fresh.iter().cloned());
            if !fresh.is_empty() {
                // At once: one that a test or a script makes may be gone before the next thorough look.
                census.lock().unwrap_or_else(PoisonError::into_inner).take_pins(&mut fresh);
            }
            if due && Instant::now() >= next {
                self.listen_to_pins();
                let began = Instant::now();
                look(census, &touched);
                touched.clear();
                due = false;
                next = Instant::now() + began.elapsed() * (SHARE - 1);
            }
        }
    }

    /// Waits until something happens, for so long at most.
    fn hear(&mut self, wait: Option<Duration>, touched: &mut HashSet<String>) -> Heard {
        let timeout = wait.map_or(PollTimeout::NONE, |wait| {
            // Rounded up: not to ask again and again within the last millisecond.
            PollTimeout::try_from(wait + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        let links = self.links.as_ref().map(|links| {
            // SAFETY: the socket is open for as long as `self` is borrowed.
            unsafe { BorrowedFd::borrow_raw(links.as_raw_fd()) }
        });
        let mut sources = vec![PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN)];
        sources.extend(self.pins.as_ref().map(|pins| PollFd::new(pins.as_fd(), PollFlags::POLLIN)));
        sources.extend(self.mounts.as_ref().map(|mounts| PollFd::new(mounts.as_fd(), PollFlags::POLLPRI)));
        sources.extend(links.map(|links| PollFd::new(links, PollFlags::POLLIN)));
        match poll(&mut sources, timeout) {
            Ok(0) | Err(_) => return Heard::Nothing,
            Ok(_) => {}
        }
        let is_stopped = sources.first().and_then(PollFd::any).unwrap_or(true);
        drop(sources);
        if is_stopped && self.stopped.read(&mut [0; 1]).is_ok() {
            return Heard::End;
        }
        if let Some(pins) = &self.pins {
            let events = pins.read_events().unwrap_or_default();
            touched.extend(events.into_iter().filter_map(|event| event.name?.into_string().ok()));
        }
        if let Some(links) = &self.links {
            // What it says does not matter, nor that some of it was lost.
            let mut message = Vec::with_capacity(8 << 10);
            while links.recv(&mut message, libc::MSG_DONTWAIT).is_ok() {
                message.clear();
            }
        }
        Heard::Something
    }

    fn listen_to_pins(&mut self) {
        if self.pins.is_none() {
            self.pins = pins();
        }
    }
}

enum Heard {
    Something,
    Nothing,
    End,
}

fn pins() -> Option<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
    inotify.add_watch(PINS, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE).ok()?;
    Some(inotify)
}

/// Links of the machine's own namespace.
fn links() -> Option<Socket> {
    let host = Netns::host().ok()?;
    let open = || -> io::Result<Socket> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, LINKS))?;
        socket.add_membership(NSIDS)?;
        Ok(socket)
    };
    in_netns(&host, open).ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_at_once() {
        let began = Instant::now();
        drop(Watch::start(Arc::default()).unwrap());
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}
