//! Starting a node's PID 1 in namespaces of its own.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow};

use super::init::{Instructions, RELEASE, Report};
use super::process::Process;
use super::{Error, Result};

/// The descriptor at which PID 1 finds its leash.
pub(super) const LEASH: RawFd = 3;

/// All namespaces that make a process a container's, except the user's own.
const NAMESPACES: libc::c_int =
    libc::CLONE_NEWNET | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;

/// Of the child until it is a program of its own: it makes a dozen system calls.
const STACK_BYTES: usize = 64 << 10;

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

/// Everything the child needs, made before it exists: between `clone` and `execve` it may not allocate.
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

    let (nothing, leash) = (launch.nothing.as_raw_fd(), leash.as_raw_fd());
    let child = Child { arguments: &arguments, environment: &environment, nothing, leash, signals: SigSet::all() };
    clone(child)
}

/// What the child is handed.
struct Child<'a> {
    /// Both end with a null pointer.
    arguments: &'a [*const libc::c_char],
    environment: &'a [*const libc::c_char],
    nothing: RawFd,
    leash: RawFd,
    /// The signals that were blocked before.
    signals: SigSet,
}

/// As vfork(2): the child uses our memory while this thread waits for its `execve`, so that no page tables are copied.
fn clone(mut child: Child<'_>) -> io::Result<Process> {
    // On a stack of its own, since it may not tread on the frames we return to.
    let mut stack: Vec<u128> = vec![0; STACK_BYTES / size_of::<u128>()];
    let top = stack.as_mut_ptr_range().end;
    let shared = libc::CLONE_VM | libc::CLONE_VFORK;
    let mut pidfd: RawFd = -1;
    // A signal's handler would run in the child as well, in our memory.
    SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).map(|before| child.signals = before)?;
    // SAFETY: the stack is the child's alone, aligned, and lives as this frame does, and so do `child` and `pidfd`, in
    // which CLONE_PIDFD stores a descriptor. We go on when the child has left our memory.
    let pid = unsafe {
        libc::clone(
            enter,
            top.cast(),
            NAMESPACES | shared | libc::CLONE_PIDFD | libc::SIGCHLD,
            (&raw mut child).cast(),
            &raw mut pidfd,
        )
    };
    let error = io::Error::last_os_error();
    child.signals.thread_set_mask()?;
    if pid == -1 {
        return Err(error);
    }
    // SAFETY: CLONE_PIDFD stored a new descriptor that nobody else has.
    Ok(Process::from_pidfd(pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

extern "C" fn enter(child: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `clone` handed us this, and waits.
    unsafe {
        let child = &*child.cast::<Child<'_>>();
        // A blocked signal would stay blocked over execve.
        libc::sigprocmask(libc::SIG_SETMASK, child.signals.as_ref(), std::ptr::null_mut());
        become_init(child.arguments, child.environment, child.nothing, child.leash)
    }
}

const SELF: &CStr = c"/proc/self/exe";
const ROOT: &CStr = c"/";

/// The child's side: cut every tie to the caller's terminal, session and files, then start anew as PID 1.
///
/// # Safety
/// Only to be called in a fresh child. Makes async-signal-safe calls only: the memory, the allocator's locks included,
/// is the parent's. Both arrays must end with a null pointer.
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
