//! What is read inside each namespace.

use std::io;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use super::census::Namespace;
use super::snmp::{Reader, Snmp};
use crate::conntrack::{self, Statistics, Table, is_loaded};
use crate::netlink::{self, LinkStatistics, Socket};
use crate::netns::{NetnsCookie, in_each_netns};

/// Threads at most: the kernel has one lock for the links of all namespaces.
const THREADS: usize = 4;
/// Namespaces that are not worth another thread.
const FEW: usize = 32;

/// Something that was read, or not, and the time that took.
#[derive(Debug)]
pub struct Reading<T> {
    /// `None` if it could not be read.
    pub found: Option<T>,
    /// How long it took.
    pub took: Duration,
}

impl<T> Reading<T> {
    fn take<E>(read: impl FnOnce() -> Result<T, E>) -> Self {
        let began = Instant::now();
        Self { found: read().ok(), took: began.elapsed() }
    }
}

/// What one namespace shows.
#[derive(Debug)]
pub struct Inside {
    /// Which: what was entered may be another one than was meant.
    pub cookie: NetnsCookie,
    /// Its links.
    pub links: Reading<Vec<LinkStatistics>>,
    /// The IP stack's counters.
    pub snmp: Reading<Snmp>,
    /// Connection tracking; `None` where that is not loaded.
    pub conntrack: Option<Reading<(Table, Statistics)>>,
}

/// Looks into each namespace, on threads that do nothing else. One that is gone is left out.
///
/// # Errors
/// No thread can be had.
pub fn look(namespaces: &[Namespace], snmp: &Reader) -> io::Result<Vec<Inside>> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS);
    let share = namespaces.len().div_ceil(threads).max(FEW);
    thread::scope(|scope| {
        let parts: Vec<_> =
            namespaces.chunks(share).map(|part| scope.spawn(move || one_after_another(part, snmp))).collect();
        let mut all = Vec::with_capacity(namespaces.len());
        for part in parts {
            all.extend(part.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(all)
    })
}

fn one_after_another(namespaces: &[Namespace], snmp: &Reader) -> io::Result<Vec<Inside>> {
    let has_conntrack = is_loaded();
    let open = namespaces.iter().filter_map(Namespace::open);
    let found = in_each_netns(open, |_| {
        let began = Instant::now();
        let mut socket = Socket::open().ok()?;
        let cookie = NetnsCookie::of_socket(&socket).ok()?;
        let found = socket.statistics().ok();
        let links = Reading { found, took: began.elapsed() };
        let conntrack = has_conntrack.then(|| Reading::take(conntrack));
        Some(Inside { cookie, links, snmp: Reading::take(|| snmp.read()), conntrack })
    })?;
    Ok(found.into_iter().flatten().collect())
}

fn conntrack() -> netlink::Result<(Table, Statistics)> {
    let mut socket = conntrack::Socket::open()?;
    Ok((socket.table()?, socket.statistics()?))
}
