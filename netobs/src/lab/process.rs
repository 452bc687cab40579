//! Processes that can be told apart from later ones with the same id.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

/// A process id and when its process started, which no later process with that id shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its id as the machine sees it.
    pub pid: i32,
    /// In clock ticks after the machine's start (`/proc/<pid>/stat`, field 22).
    pub start_time: u64,
}

impl Identity {
    /// The process that has this id now; `None` if there is none, or only a zombie.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; the fields that follow it start with the state, field 3.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        Some(Self { pid, start_time: fields.nth(18)?.parse().ok()? })
    }

    /// Whether it is still running.
    pub(super) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// A process held by a descriptor: signals reach it or nobody.
#[derive(Debug)]
pub(super) struct Process {
    /// Its id as the machine sees it.
    pub(super) pid: i32,
    pidfd: OwnedFd,
}

impl Process {
    /// Takes hold of the process that has this id now.
    pub(super) fn open(pid: i32) -> io::Result<Self> {
        // SAFETY: pidfd_open takes two integers and touches no memory of ours.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor; nobody else has it.
        Ok(Self { pid, pidfd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Takes hold of this very process; `None` if it is gone.
    pub(super) fn find(identity: Identity) -> Option<Self> {
        let process = Self::open(identity.pid).ok()?;
        // The id cannot be given out again while the descriptor is open, so this decides it.
        identity.is_alive().then_some(process)
    }

    /// Wraps a descriptor that `clone3(2)` returned.
    pub(super) fn from_pidfd(pid: i32, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd }
    }

    /// Sends a signal; to one that is gone already is no failure.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        // SAFETY: pidfd_send_signal reads nothing through a null siginfo.
        let status = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                signal as libc::c_int,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        match status {
            0 => Ok(()),
            _ => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
                error => Err(error),
            },
        }
    }

    /// Waits until it has ended, at most so long; `true` if it has.
    pub(super) fn wait(&self, at_most: Duration) -> bool {
        let deadline = Instant::now() + at_most;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // A pidfd becomes readable when its process ends, reaped or not.
            match wait_readable(self.pidfd.as_fd(), left) {
                Ok(true) => return true,
                Ok(false) => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Identity::of(self.pid).is_none(),
            }
        }
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Waits until something can be read from `fd`; `false` if that took too long.
pub(super) fn wait_readable(fd: BorrowedFd<'_>, at_most: Duration) -> io::Result<bool> {
    let mut asked = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // Rounded up: a wait of less than a millisecond must not become a busy loop.
    let milliseconds = i32::try_from(at_most.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
    // SAFETY: one pollfd is passed, which lives until the call returns.
    match unsafe { libc::poll(&raw mut asked, 1, milliseconds) } {
        -1 => Err(io::Error::last_os_error()),
        ready => Ok(ready > 0),
    }
}
