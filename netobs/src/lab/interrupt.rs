#[cfg(debug_assertions)]
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

#[cfg(debug_assertions)]
use nix::{sys::signal::kill, unistd::Pid};

use super::{Error, Result};

/// A place between two steps at which a test may have the process killed, as by `kill -9`. Nothing in release builds.
pub(super) fn crash_point() {
    #[cfg(debug_assertions)]
    {
        static PASSED: AtomicUsize = AtomicUsize::new(0);
        let at = std::env::var("NETOBS_TEST_CRASH_AT").ok().and_then(|at| at.parse().ok());
        if at == Some(PASSED.fetch_add(1, Ordering::Relaxed) + 1) {
            let _ = kill(Pid::this(), Signal::SIGKILL);
        }
    }
}

static ASKED: AtomicBool = AtomicBool::new(false);

extern "C" fn remember(_: libc::c_int) {
    ASKED.store(true, Ordering::Relaxed);
}

/// From here on Ctrl-C and requests to end are only remembered, so that what is half built can be removed in order.
pub(super) fn watch() -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(remember), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler only stores to an atomic, which is safe at any moment.
        let before = unsafe { sigaction(signal, &action) }.map_err(Error::os(format!("watch for {signal}")))?;
        // What `nohup` or a shell's `&` told us to ignore stays ignored.
        if matches!(before.handler(), SigHandler::SigIgn) {
            // SAFETY: ignoring a signal runs no code.
            unsafe { sigaction(signal, &before) }.map_err(Error::os(format!("ignore {signal}")))?;
        }
    }
    Ok(())
}

/// Fails once an end has been asked for.
pub(super) fn check() -> Result<()> {
    crash_point();
    if ASKED.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}
