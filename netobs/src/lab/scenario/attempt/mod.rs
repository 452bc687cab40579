//! Trying a check from its node. Sockets are made in the node's namespace; commands get all of the node.

mod command;
mod dns;
mod ping;
mod tcp;
mod udp;

use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::super::{Result, interrupt};
use super::check::{Attempt, Check, Outcome};
use super::stage::Stage;
use crate::netns::in_netns;

pub(super) use command::run as run_command;
pub(super) use udp::answered;

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// In a word.
    pub(super) outcome: Outcome,
    /// How long it took.
    pub(super) took: Duration,
    /// What there is to add.
    pub(super) detail: Option<String>,
}

/// Tries once. An answer that takes longer than `silence` is none.
pub(super) fn attempt(stage: &Stage, check: &Check, silence: Duration) -> Result<Found> {
    interrupt::check()?;
    let netns = stage.netns(&check.from)?;
    let start = Instant::now();
    let tried: io::Result<Outcome> = match &check.attempt {
        Attempt::Ping { to, size, source } => in_netns(&netns, || ping::ping(*to, *size, *source, silence))?,
        Attempt::Connect { to } => in_netns(&netns, || tcp::connect(*to, silence))?,
        Attempt::Http { to } => in_netns(&netns, || tcp::http(*to, silence))?,
        Attempt::Bulk { to, at, bytes } => tcp::bulk(&netns, &stage.netns(at)?, *to, *bytes, silence),
        Attempt::Udp { to, at, flows } => udp::ask(&netns, &stage.netns(at)?, *to, *flows, silence),
        Attempt::Dns { name } => {
            let server = stage.resolver(&check.from)?;
            in_netns(&netns, || dns::look_up(name, server, silence))?
        }
        Attempt::Run(words) => return command::attempt(stage, &check.from, words, silence),
    };
    let took = start.elapsed();
    Ok(match tried {
        Ok(outcome) => Found { outcome, took, detail: None },
        Err(error) => match error.raw_os_error().and_then(Outcome::of_errno).or_else(|| of_kind(&error)) {
            Some(outcome) => Found { outcome, took, detail: None },
            None => Found { outcome: Outcome::Failed, took, detail: Some(error.to_string()) },
        },
    })
}

/// Waits for a datagram that is the answer, of so many bytes at most.
fn await_answer(
    socket: &UdpSocket,
    longest: usize,
    silence: Duration,
    is_answer: impl Fn(&[u8]) -> bool,
) -> io::Result<Outcome> {
    let end = Instant::now() + silence;
    let mut received = vec![0; longest];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Outcome::Silence);
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut received)?;
        if received.get(..length).is_some_and(&is_answer) {
            return Ok(Outcome::Answered);
        }
    }
}

/// Errors that the standard library makes up itself.
fn of_kind(error: &io::Error) -> Option<Outcome> {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock).then_some(Outcome::Silence)
}
