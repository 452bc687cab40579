//! Starting a node's PID 1 in namespaces of its own.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::init::{Instructions, RELEASE, Report};
use super::process::Process;
use super::{Error, Result};

/// The descriptor at which PID 1 finds its leash.
pub(super) const LEASH: RawFd = 3;

/// All namespaces that make a process a container's, except the user's own.
const NAMESPACES: libc::c_int =
    libc::CLONE_NEWNET | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;

/// How long PID 1 may take to get its mounts and servers ready. It takes milliseconds; emulated machines are slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node's PID 1 on a leash: it ends by itself when this is dropped (or its holder is killed) before [`Self::release`].
#[derive(Debug)]
pub(super) struct Container {
    /// PID 1 as the machine sees it.
    pub(super) process: Process,
    node: String,
    leash: UnixStream,
}

impl Container {
    /// Starts a node's PID 1, which is this very program, and tells it what to prepare.
    pub(super) fn start(instructions: &Instructions) -> Result<Self> {
        let node = instructions.node.clone();
        let failed = |source| Error::Clone { node: node.clone(), source };
        let (mut leash, theirs) = UnixStream::pair().map_err(failed)?;
        let process = spawn(&instructions.title(), &theirs).map_err(failed)?;
        drop(theirs);
        let mut line = serde_json::to_vec(instructions).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        leash.write_all(&line).map_err(failed)?;
        leash.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        Ok(Self { process, node, leash })
    }

    /// Waits until it has its mounts and its servers listen. What the machine did not allow comes back as sentences.
    pub(super) fn wait_prepared(&self) -> Result<Vec<String>> {
        let failed = |message: String| Error::Init { node: self.node.clone(), message };
        let mut line = String::new();
        BufReader::new(&self.leash).read_line(&mut line).map_err(|error| failed(error.to_string()))?;
        if line.is_empty() {
            return Err(failed("its PID 1 ended at once".to_owned()));
        }
        match serde_json::from_str(&line).map_err(|error| failed(error.to_string()))? {
            Report::Prepared { notes } => Ok(notes),
            Report::Failed { message } => Err(failed(message)),
        }
    }

    /// Lets it live on without us.
    pub(super) fn release(mut self) -> Result<()> {
        let failed = |source: io::Error| Error::Init { node: self.node.clone(), message: source.to_string() };
        self.leash.write_all(RELEASE).map_err(failed)
    }
}

/// Everything the child needs, made before it exists: between `clone3` and `execve` it may not allocate.
struct Launch {
    arguments: Vec<CString>,
    environment: Vec<CString>,
    nothing: File,
}

fn spawn(title: &str, leash: &UnixStream) -> io::Result<Process> {
    let c = |text: &str| CString::new(text).map_err(io::Error::other);
    let launch = Launch {
        arguments: vec![c("netobs")?, c("lab-init")?, c(title)?],
        environment: vec![c("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")?],
        nothing: File::options().read(true).write(true).open("/dev/null")?,
    };
    let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(&launch.arguments), pointers(&launch.environment));

    let mut pidfd: RawFd = -1;
    // SAFETY: all fields are integers, for which zero means "not used".
    let mut how: libc::clone_args = unsafe { std::mem::zeroed() };
    how.flags = u64::from((NAMESPACES | libc::CLONE_PIDFD).unsigned_abs());
    how.pidfd = (&raw mut pidfd) as u64;
    how.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    // SAFETY: without CLONE_VM the child gets a copy of our memory and goes on from here on a copy of our stack, as
    // after fork(2); `how` outlives the call. The child only makes the system calls below and never returns.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut how, size_of::<libc::clone_args>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: both arrays end with a null pointer and live in our copy of the memory; see `become_init`.
            unsafe {
                become_init(&arguments, &environment, launch.nothing.as_raw_fd(), leash.as_raw_fd());
            }
        }
        pid => {
            let pid = i32::try_from(pid).map_err(io::Error::other)?;
            // SAFETY: CLONE_PIDFD stored a new descriptor that nobody else has.
            Ok(Process::from_pidfd(pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
        }
    }
}

const SELF: &CStr = c"/proc/self/exe";
const ROOT: &CStr = c"/";

/// The child's side: cut every tie to the caller's terminal, session and files, then start anew as PID 1.
///
/// # Safety
/// Only to be called in a fresh child. Makes async-signal-safe calls only, since another thread of the parent may have
/// held the allocator's lock. Both arrays must end with a null pointer.
unsafe fn become_init(
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
    nothing: RawFd,
    leash: RawFd,
) -> ! {
    // SAFETY: plain system calls on integers and on strings that live until execve replaces us.
    unsafe {
        libc::setsid();
        libc::chdir(ROOT.as_ptr());
        for standard in 0..LEASH {
            libc::dup2(nothing, standard);
        }
        // dup2 onto itself would leave close-on-exec set.
        if leash == LEASH {
            libc::fcntl(LEASH, libc::F_SETFD, 0);
        } else {
            libc::dup2(leash, LEASH);
        }
        libc::syscall(libc::SYS_close_range, LEASH + 1, libc::c_uint::MAX, 0);
        libc::execve(SELF.as_ptr(), arguments.as_ptr(), environment.as_ptr());
        libc::_exit(127)
    }
}
