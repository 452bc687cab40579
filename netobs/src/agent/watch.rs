//! Notices namespaces that come and go, by what the kernel tells of it.
//!
//! A name under `/run/netns` is a file (inotify) with a mount over it (`poll` on mountinfo); a container without one gets
//! a link into the machine's own namespace (rtnetlink). What tells nothing, a process that unshares its namespace, is
//! found when it is scraped.
//!
//! Two threads: one looks behind new names at once, since what a test or a script makes may soon be gone; the other looks
//! at everything, which takes longer the more there is. What the kernel could not keep for them, because too much
//! happened, is found by the second: it looks at everything anyway.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::census::{Census, Touched};
use super::links::Links;
use super::pins::Pins;

/// Things happen together: a container that starts makes a dozen changes.
const PAUSE: Duration = Duration::from_millis(5);
/// Looking may take this share of the time at most, however much happens.
const SHARE: u32 = 10;

/// Threads that keep a census up to date until this is dropped.
#[derive(Debug)]
pub struct Watch {
    /// Closing it ends the threads.
    stop: Option<UnixStream>,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Begins to listen, and looks for the first time before it returns.
    ///
    /// # Errors
    /// No thread or socket can be had.
    pub fn start(census: Arc<Mutex<Census>>) -> io::Result<Self> {
        let (stop, stopped) = UnixStream::pair()?;
        let (bell, rung) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        rung.set_nonblocking(true)?;
        let touched = Arc::new(Mutex::new(Touched::default()));
        let pins = Pins::new(Arc::clone(&census), Arc::clone(&touched), bell, stopped.try_clone()?);
        let looking = Looking { census, touched, rung, links: Links::listen(), stopped };
        look(&looking.census, &Touched::default());
        let threads = vec![
            thread::Builder::new().name("netns-names".to_owned()).spawn(move || pins.follow())?,
            thread::Builder::new().name("namespaces".to_owned()).spawn(move || looking.follow())?,
        ];
        Ok(Self { stop: Some(stop), threads })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn look(census: &Mutex<Census>, touched: &Touched) {
    census.lock().unwrap_or_else(PoisonError::into_inner).look(touched);
}

/// The thread that looks at everything.
struct Looking {
    census: Arc<Mutex<Census>>,
    touched: Arc<Mutex<Touched>>,
    /// Has something to read when a name was touched.
    rung: UnixStream,
    links: Option<Links>,
    stopped: UnixStream,
}

impl Looking {
    fn follow(mut self) {
        let mut next = Instant::now();
        let mut is_due = false;
        loop {
            let wait = is_due.then(|| next.saturating_duration_since(Instant::now()));
            let sources = [(self.rung.as_fd(), PollFlags::POLLIN)].into_iter();
            let sources = sources.chain(self.links.iter().map(|links| (links.as_fd(), PollFlags::POLLIN)));
            match hear(&self.stopped, sources, wait) {
                Heard::End => return,
                Heard::Something if !is_due => {
                    is_due = true;
                    next = next.max(Instant::now() + PAUSE);
                }
                Heard::Something | Heard::Nothing => {}
            }
            while self.rung.read(&mut [0; 64]).is_ok_and(|length| length > 0) {}
            if let Some(links) = &self.links {
                links.drain();
            }
            if is_due && Instant::now() >= next {
                let touched = std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner));
                let began = Instant::now();
                look(&self.census, &touched);
                is_due = false;
                next = Instant::now() + began.elapsed() * (SHARE - 1);
            }
        }
    }
}

/// What waiting brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// At least one of the sources.
    Something,
    /// The time is over, or a signal came.
    Nothing,
    /// It was told to stop.
    End,
}

/// Waits until something happens, for so long at most.
pub(super) fn hear<'a>(
    mut stopped: &UnixStream,
    sources: impl Iterator<Item = (BorrowedFd<'a>, PollFlags)>,
    wait: Option<Duration>,
) -> Heard {
    let timeout = wait.map_or(PollTimeout::NONE, |wait| {
        // Rounded up: not to ask again and again within the last millisecond.
        PollTimeout::try_from(wait + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
    });
    let stop = stopped.as_fd();
    let mut polled = vec![PollFd::new(stop, PollFlags::POLLIN)];
    polled.extend(sources.map(|(source, flags)| PollFd::new(source, flags)));
    match poll(&mut polled, timeout) {
        Ok(0) | Err(_) => return Heard::Nothing,
        Ok(_) => {}
    }
    let is_stopped = polled.first().and_then(PollFd::any).unwrap_or(true);
    if is_stopped && stopped.read(&mut [0; 1]).is_ok() { Heard::End } else { Heard::Something }
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
