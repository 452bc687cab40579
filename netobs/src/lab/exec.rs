//! Running a command in a node, as if its PID 1 had started it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::find::NodeHandle;
use super::process::Process;
use super::{Error, Result};

/// Signals that are passed on to the command.
const PASSED_ON: [Signal; 6] =
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];
/// `si_code` of a signal that came from the terminal: its whole foreground group has got it, the command included.
const SI_KERNEL: i32 = 0x80;

/// Runs a command in all of a node's namespaces and in its cgroup, with our own standard streams, and returns what a
/// shell would show as `$?`: its status, or 128 and the number of the signal that ended it.
pub fn exec(handle: &NodeHandle, program: &OsString, arguments: &[OsString]) -> Result<u8> {
    let node = &handle.node;
    let failed = |source| Error::Command {
        command: program.to_string_lossy().into_owned(),
        namespace: node.namespace.clone(),
        source,
    };
    let init = node.init.and_then(Process::find).ok_or_else(|| Error::Dead { namespace: node.namespace.clone() })?;
    // A node without limits has no group.
    let groups: Vec<File> = [&node.cgroup, &node.cpu_cgroup]
        .into_iter()
        .flatten()
        .filter_map(|group| OpenOptions::new().write(true).open(group.join("cgroup.procs")).ok())
        .collect();

    let signals: SigSet = PASSED_ON.into_iter().chain([Signal::SIGCHLD]).collect();
    let arrivals = signals
        .thread_block()
        .and_then(|()| SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC))
        .map_err(|error| failed(error.into()))?;
    // The PID namespace is that of children to come, not our own; so there is no need for a child in between.
    setns(&init, CloneFlags::CLONE_NEWPID).map_err(|error| failed(error.into()))?;
    let mut command = Command::new(program);
    command.args(arguments);
    let enter = move || enter(&init, &groups);
    // SAFETY: `enter` makes system calls only and allocates nothing.
    unsafe { command.pre_exec(enter) };
    let mut child = command.spawn().map_err(failed)?;
    wait(&mut child, &arrivals).map(status).map_err(failed)
}

/// The child's last steps before it becomes the command.
fn enter(init: &Process, groups: &[File]) -> io::Result<()> {
    SigSet::empty().thread_set_mask()?;
    for mut group in groups {
        // 0 is whoever writes it.
        group.write_all(b"0")?;
    }
    let namespaces =
        CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC;
    setns(init, namespaces)?;
    Ok(())
}

fn wait(child: &mut Child, arrivals: &SignalFd) -> io::Result<ExitStatus> {
    let process = Process::open(child.id().cast_signed())?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let Some(arrived) = arrivals.read_signal()? else { continue };
        let signal = Signal::try_from(arrived.ssi_signo.cast_signed())?;
        if signal != Signal::SIGCHLD && arrived.ssi_code != SI_KERNEL {
            process.signal(signal)?;
        }
    }
}

fn status(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
