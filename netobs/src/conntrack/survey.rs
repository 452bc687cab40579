use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Growth, Pressure, Socket, Sources, Statistics, Table, Totals};
use crate::netlink;
use crate::netns::{Netns, NetnsCookie};
use crate::state::Namespaces;

/// Reading the entries may take this share of the time at most: a machine whose tables are full has other work to do.
const SHARE: u32 = 10;

/// Which namespaces are looked at.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Every one that can be found at the time.
    All,
    /// The one that a user named; see [`Netns::open`].
    Named(String),
}

/// How closely namespaces are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Counters only, for a later look to be compared with.
    Counters,
    /// The entries, too, and that many of their largest sources.
    Sources(usize),
}

/// What one look found.
#[derive(Debug, Default)]
pub struct Report {
    /// Each namespace, by name.
    pub namespaces: Vec<Pressure>,
    /// Those that could not be looked into, and why. One that was gone by then is not among them.
    pub refused: Vec<(String, netlink::Error)>,
}

impl Report {
    fn add(&mut self, name: String, found: netlink::Result<Pressure>) {
        match found {
            Ok(pressure) => self.namespaces.push(pressure),
            Err(error) => self.refused.push((name, error)),
        }
    }
}

/// Looks at namespaces again and again, and compares. Holds none of them open in between, so none is kept alive.
#[derive(Debug)]
pub struct Survey {
    wanted: Wanted,
    names: Namespaces,
    seen: HashMap<NetnsCookie, Seen>,
    looks: u64,
}

/// What was seen of a namespace last.
#[derive(Debug)]
struct Seen {
    at: Instant,
    table: Table,
    statistics: Statistics,
    totals: Totals,
    sources: Option<(Instant, Sources)>,
    look: u64,
}

impl Survey {
    /// Nothing seen yet.
    pub fn new(wanted: Wanted) -> Self {
        Self { wanted, names: Namespaces::watched(), seen: HashMap::new(), looks: 0 }
    }

    /// Looks into namespaces that somebody else has found and named, whatever is wanted.
    pub fn look_into_all(&mut self, namespaces: impl Iterator<Item = (String, Netns)>, depth: Depth) -> Report {
        self.looks += 1;
        let mut report = Report::default();
        for (name, netns) in namespaces {
            report.add(name.clone(), self.look_into(&netns, name, depth));
        }
        self.seen.retain(|_, seen| seen.look == self.looks);
        report
    }

    /// Looks once.
    ///
    /// # Errors
    /// The namespace that was asked for by name is not there or cannot be looked into.
    pub fn look(&mut self, depth: Depth) -> netlink::Result<Report> {
        self.looks += 1;
        let mut report = Report::default();
        match self.wanted.clone() {
            Wanted::Named(name) => {
                let netns = Netns::open(&name)?;
                let name = self.names.name(netns.inode()).map_or(name, str::to_owned);
                report.namespaces.push(self.look_into(&netns, name, depth)?);
            }
            Wanted::All => {
                for (inode, name) in self.names.all() {
                    let Some(netns) = self.names.open(inode) else { continue };
                    report.add(name.clone(), self.look_into(&netns, name, depth));
                }
            }
        }
        self.seen.retain(|_, seen| seen.look == self.looks);
        Ok(report)
    }

    fn look_into(&mut self, netns: &Netns, name: String, depth: Depth) -> netlink::Result<Pressure> {
        let mut socket = Socket::open_in(netns)?;
        let cookie = socket.netns_cookie()?;
        let (table, statistics, at) = (socket.table()?, socket.statistics()?, Instant::now());
        let before = self.seen.remove(&cookie);
        let growth = before.as_ref().map(|before| Growth {
            over: at.duration_since(before.at),
            entries: table.entries.cast_signed().saturating_sub(before.table.entries.cast_signed()),
            counted: statistics.since(&before.statistics),
        });
        let totals = match (&before, &growth) {
            (Some(before), Some(growth)) => before.totals.and(&growth.counted),
            _ => statistics.totals(),
        };
        let sources = match depth {
            Depth::Counters => None,
            Depth::Sources(top) => {
                let known = before.and_then(|before| before.sources).filter(|known| is_fresh(known, at));
                match known {
                    Some(known) => Some(known),
                    None => Some((Instant::now(), read_sources(&mut socket, &table, top)?)),
                }
            }
        };
        let pressure = Pressure {
            netns: name,
            inode: netns.inode(),
            table,
            totals,
            growth,
            sources_age: sources.as_ref().map_or(Duration::ZERO, |(read, _)| at.saturating_duration_since(*read)),
            sources: sources.as_ref().map(|(_, sources)| sources.clone()),
        };
        self.seen.insert(cookie, Seen { at, table, statistics, totals, sources, look: self.looks });
        Ok(pressure)
    }
}

/// Whether it is too early to read them again.
fn is_fresh((read, sources): &(Instant, Sources), now: Instant) -> bool {
    now.saturating_duration_since(*read) < sources.took * (SHARE - 1)
}

/// An empty table is not read: all namespaces share one hash table, and the kernel would walk all of it.
fn read_sources(socket: &mut Socket, table: &Table, top: usize) -> netlink::Result<Sources> {
    if table.entries == 0 {
        return Ok(Sources { entries: 0, distinct: 0, top: Vec::new(), steady: true, took: Duration::ZERO });
    }
    socket.sources(top)
}
