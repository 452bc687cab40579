//! What ends a command that goes on by itself: a signal, a time, or nothing left to do.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot::Receiver;

use crate::trace::Stop;

/// After a signal, the longest the last lines may take: whoever reads our output may have stopped reading.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(800);

/// Ctrl-C and SIGTERM, caught from [`Signals::listen`] on.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// One has come.
    came: bool,
}

impl Signals {
    pub(super) fn listen() -> anyhow::Result<Self> {
        let interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
        let terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        Ok(Self { interrupt, terminate, came: false })
    }

    /// Waits for either.
    pub(super) async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        self.came = true;
    }
}

/// Waits so long; for ever if nobody said how long.
pub(super) async fn after(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// Waits for the reader, which was told to stop, to come to its end. False if a signal said so, too, and it is stuck on
/// an output that nobody reads; that was said. Without a signal it waits: a pager reads on when its user does.
pub(super) async fn last_words(stop: &Stop, ended: &mut Receiver<()>, signals: &mut Signals) -> bool {
    if !signals.came {
        tokio::select! {
            _ = &mut *ended => return true,
            () = signals.any() => stop.now(),
        }
    }
    let mut beats = stop.beats();
    loop {
        tokio::select! {
            _ = &mut *ended => return true,
            () = tokio::time::sleep(LAST_WORDS) => {}
        }
        // On a slow machine it is the kernel or the telling that takes its time.
        let goes_on = std::mem::replace(&mut beats, stop.beats()) != beats;
        if stop.is_writing() && !goes_on {
            eprintln!("netobs: standard output is not being read; ending without a summary");
            return false;
        }
    }
}
