//! Reads events until told to stop, and prints each packet when its journey is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aya::maps::{MapData, RingBuf};
use netobs_ebpf::Hook;

use super::narrate::Narrator;
use super::time::monotonic;
use crate::event::{self, Record};
use crate::journey::{Journey, Outcome, Tracker};
use crate::output::{Closed, LostRecord, OutcomeCounts, ProbeRecord, SummaryRecord, Writer};
use crate::probe::{Kernel, Losses, ProbeStatus, Session};
use crate::state::Namespaces;

/// How long the reader sleeps when there is nothing to read. The programs never wake it.
const IDLE: Duration = Duration::from_millis(1);
/// Events read before finished journeys are looked at again.
const BATCH: u64 = 4096;
/// How long to wait for the last packets once COMMAND has ended: a little more than a silent journey stays open.
const LAST_PACKETS: Duration = Duration::from_millis(450);
/// How long to look for events that were written while the programs were being detached.
const STRAGGLERS: Duration = Duration::from_millis(100);
/// How long printing what is left may take: whoever stops a trace wants it to stop.
const LEFTOVERS: Duration = Duration::from_millis(400);
/// How often losses are looked up while running.
const LOSS_CHECK: Duration = Duration::from_millis(100);

/// Tells a running trace to stop, from another thread.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    stage: Arc<AtomicU8>,
    beats: Arc<AtomicU64>,
    writing: Arc<AtomicBool>,
}

impl Stop {
    const RUNNING: u8 = 0;
    const LAST_PACKETS: u8 = 1;
    const NOW: u8 = 2;
    const ABANDON: u8 = 3;

    /// Stop when the packets under way have ended, or soon.
    pub fn after_last_packets(&self) {
        self.stage.fetch_max(Self::LAST_PACKETS, Ordering::Relaxed);
    }

    /// Changes as long as the trace gets on with its work.
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// Whether the trace is handing something to standard output right now.
    pub fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Relaxed)
    }

    /// Runs `write`, which hands something to standard output.
    pub(crate) fn writes<T>(&self, write: impl FnOnce() -> T) -> T {
        self.writing.store(true, Ordering::Relaxed);
        let result = write();
        self.writing.store(false, Ordering::Relaxed);
        result
    }

    /// Says that the work goes on.
    pub(crate) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether to stop now.
    pub(crate) fn is_now(&self) -> bool {
        self.stage.load(Ordering::Relaxed) >= Self::NOW
    }

    /// Stop now, and print what is there.
    pub fn now(&self) {
        self.stage.fetch_max(Self::NOW, Ordering::Relaxed);
    }

    /// Stop now, and print nothing more.
    pub fn abandon(&self) {
        self.stage.fetch_max(Self::ABANDON, Ordering::Relaxed);
    }
}

/// What to print, and how much.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Stop after this many packets were printed.
    pub count: Option<u64>,
    /// Print only packets that were dropped.
    pub drops_only: bool,
}

/// A trace under way.
pub struct Trace<'k> {
    session: Session,
    ring: RingBuf<MapData>,
    kernel: &'k Kernel,
    narrator: Narrator<'k>,
    tracker: Tracker,
    writer: Writer,
    limits: Limits,
    stop: Stop,
    /// When the last hook was attached. What began before was seen by some hooks only.
    since: u64,
    decoded: u64,
    outcomes: OutcomeCounts,
    printed: u64,
}

impl<'k> Trace<'k> {
    /// Puts the parts together; `session` and `ring` are attached already.
    pub fn new(
        kernel: &'k Kernel,
        namespaces: Namespaces,
        (session, ring): (Session, RingBuf<MapData>),
        writer: Writer,
        limits: Limits,
    ) -> Self {
        Self {
            session,
            ring,
            kernel,
            narrator: Narrator::new(kernel, namespaces),
            tracker: Tracker::default(),
            writer,
            limits,
            stop: Stop::default(),
            since: monotonic(),
            decoded: 0,
            outcomes: OutcomeCounts::default(),
            printed: 0,
        }
    }

    /// Runs until stopped, then detaches. What is left to print is the summary.
    ///
    /// # Errors
    /// Standard output was closed.
    pub fn run(mut self, stop: &Stop) -> Result<(Writer, SummaryRecord), Closed> {
        self.stop = stop.clone();
        let mut stopping: Option<Instant> = None;
        let mut losses_checked = Instant::now();
        let mut held = Vec::new();
        while !self.is_enough() {
            let (read, newest) = self.read();
            self.session.tend(self.narrator.namespaces());
            // With a backlog the events' own clock is the one to go by.
            let now = if read < BATCH { monotonic() } else { newest };
            let finished = self.tracker.finished(now);
            held = self.print(finished, || stop.is_now())?;
            if losses_checked.elapsed() > LOSS_CHECK {
                losses_checked = Instant::now();
                self.note_losses();
            }
            match stop.stage.load(Ordering::Relaxed) {
                Stop::RUNNING => {}
                Stop::LAST_PACKETS => {
                    let since = stopping.get_or_insert_with(Instant::now).elapsed();
                    if since > LAST_PACKETS || (self.tracker.is_empty() && since > LAST_PACKETS / 9) {
                        break;
                    }
                }
                _ => break,
            }
            if read == 0 {
                let writer = &mut self.writer;
                self.stop.writes(|| writer.flush())?;
                thread::sleep(IDLE);
            }
        }
        self.finish(held, stop.stage.load(Ordering::Relaxed) == Stop::ABANDON)
    }

    /// Reads a batch; returns how many events and the time of the newest.
    fn read(&mut self) -> (u64, u64) {
        self.stop.beat();
        let (mut read, mut newest) = (0, 0);
        while read < BATCH {
            let Some(item) = self.ring.next() else { break };
            read += 1;
            let Some(record) = event::decode(&item, self.kernel.conntrack.as_ref()) else { continue };
            self.decoded += 1;
            match record {
                Record::Event(event) => {
                    newest = newest.max(event.time);
                    if let Some(netns) = event.netns {
                        self.session.saw(netns);
                    }
                    if event.time >= self.since {
                        self.tracker.push(&event);
                    }
                }
                Record::Call(call) if call.time >= self.since => self.tracker.call(&call),
                Record::Wait(wait) if wait.time >= self.since => self.tracker.wait(&wait),
                Record::Call(_) | Record::Wait(_) => {}
            }
        }
        (read, newest)
    }

    fn note_losses(&mut self) -> Losses {
        let losses = self.session.losses();
        if losses.ring > 0 {
            self.narrator.events_were_lost();
        }
        losses
    }

    fn is_enough(&self) -> bool {
        self.limits.count.is_some_and(|count| self.printed >= count)
    }

    /// Prints journeys until told to hurry. Returns those it did not come to.
    fn print(&mut self, journeys: Vec<Journey>, hurry: impl Fn() -> bool) -> Result<Vec<Journey>, Closed> {
        let mut journeys = journeys.into_iter();
        while !hurry() && !self.is_enough() {
            let Some(journey) = journeys.next() else { break };
            self.stop.beat();
            if self.narrator.is_no_packet(&journey) {
                continue;
            }
            let outcome = self.narrator.judge(&journey);
            if self.limits.drops_only && outcome != Outcome::Dropped {
                continue;
            }
            let record = self.narrator.tell(&journey, outcome);
            self.printed += 1;
            let counts = &mut self.outcomes;
            *match outcome {
                Outcome::Delivered => &mut counts.delivered,
                Outcome::Dropped => &mut counts.dropped,
                Outcome::Left => &mut counts.left,
                Outcome::ClonedAway => &mut counts.cloned_away,
                Outcome::Unknown => &mut counts.unknown,
            } += 1;
            counts.dropped_harmlessly += u64::from(record.drop.as_ref().is_some_and(|drop| drop.fault == Some(false)));
            let writer = &mut self.writer;
            self.stop.writes(|| writer.packet(&record))?;
        }
        Ok(journeys.collect())
    }

    fn finish(mut self, mut rest: Vec<Journey>, silent: bool) -> Result<(Writer, SummaryRecord), Closed> {
        self.session.detach();
        // A program that was running when it was detached may still write its event.
        let detached = Instant::now();
        let mut losses = self.note_losses();
        loop {
            let (read, _) = self.read();
            losses = if read == 0 { losses } else { self.note_losses() };
            let complete = losses.emitted == self.decoded + losses.ring;
            if read == 0 && (complete || detached.elapsed() > STRAGGLERS) {
                break;
            }
            if read == 0 {
                thread::sleep(IDLE);
                losses = self.note_losses();
            }
        }
        rest.extend(self.tracker.drain());
        // Detaching may take a slow machine longer than that.
        let printing = Instant::now();
        let unprinted = self.print(rest, || silent || printing.elapsed() > LEFTOVERS)?.len();
        let summary = SummaryRecord {
            kind: "summary",
            packets: self.printed,
            outcomes: self.outcomes,
            events: losses.emitted,
            decoded: self.decoded,
            lost: LostRecord {
                ring: losses.ring,
                tracking: losses.tracking,
                missed: losses.missed,
                cut_short: self.tracker.cut_short(),
                // With --count the rest was not asked for.
                unprinted: if self.is_enough() { 0 } else { unprinted as u64 },
            },
            probes: self.session.probes().iter().map(|probe| ProbeRecord::of(probe, &self.session)).collect(),
            command_status: None,
        };
        Ok((self.writer, summary))
    }
}

impl ProbeRecord {
    /// A hook, and what it cost and lost so far.
    pub fn of(status: &ProbeStatus, session: &Session) -> Self {
        let losses = session.losses_of(status.row);
        Self {
            name: status.row.name.to_owned(),
            kind: status.kind.name(),
            attached: status.why_not.is_none(),
            why_not: status.why_not.clone(),
            fell_back: status.fell_back.clone(),
            is_function: status.row.hook == Hook::Function,
            events: losses.emitted,
            lost: losses.ring,
        }
    }
}
