use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use nix::poll::PollFlags;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::census::{Census, NewPin, Touched};
use super::watch::{Heard, hear};
use crate::netns::PINS;

/// The thread that looks behind new names under `/run/netns` at once.
pub(super) struct Pins {
    census: Arc<Mutex<Census>>,
    /// For the thread that looks at everything; it is woken by something to read on the other end of `bell`.
    touched: Arc<Mutex<Touched>>,
    bell: UnixStream,
    /// `None` before the first `ip netns add` of a machine's life.
    names: Option<Inotify>,
    mounts: Option<File>,
    stopped: UnixStream,
}

impl Pins {
    /// Listens from now on.
    pub fn new(
        census: Arc<Mutex<Census>>,
        touched: Arc<Mutex<Touched>>,
        bell: UnixStream,
        stopped: UnixStream,
    ) -> Self {
        Self { census, touched, bell, names: listen(), mounts: File::open("/proc/self/mountinfo").ok(), stopped }
    }

    /// Goes on until it is told to stop.
    pub fn follow(mut self) {
        // Made, and no namespace yet.
        let mut fresh = HashSet::new();
        loop {
            let names = self.names.iter().map(|names| (names.as_fd(), PollFlags::POLLIN));
            let mounts = self.mounts.iter().map(|mounts| (mounts.as_fd(), PollFlags::POLLPRI));
            match hear(&self.stopped, names.chain(mounts), None) {
                Heard::End => return,
                Heard::Nothing => continue,
                Heard::Something => {}
            }
            let touched = self.read();
            fresh.extend(touched.names.iter().cloned());
            if touched.any {
                let entries = fs::read_dir(PINS).into_iter().flatten().flatten();
                fresh.extend(entries.filter_map(|entry| entry.file_name().into_string().ok()));
            }
            // Opened before anybody is waited for: a namespace that is open stays.
            let found = NewPin::find(&mut fresh);
            if !found.is_empty() {
                self.census.lock().unwrap_or_else(PoisonError::into_inner).take(found);
            }
            self.tell(touched);
        }
    }

    fn read(&mut self) -> Touched {
        let mut touched = Touched::default();
        let Some(names) = &self.names else {
            self.names = listen();
            touched.any = self.names.is_some();
            return touched;
        };
        for event in names.read_events().unwrap_or_default() {
            touched.any |= event.mask.intersects(AddWatchFlags::IN_Q_OVERFLOW | AddWatchFlags::IN_IGNORED);
            if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                // The folder itself was removed.
                self.names = None;
            }
            touched.names.extend(event.name.and_then(|name| name.into_string().ok()));
        }
        touched
    }

    fn tell(&self, touched: Touched) {
        let mut all = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        all.any |= touched.any;
        all.names.extend(touched.names);
        drop(all);
        // One that is full has woken it already.
        let _ = (&self.bell).write(&[1]);
    }
}

fn listen() -> Option<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
    inotify.add_watch(PINS, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE).ok()?;
    Some(inotify)
}
