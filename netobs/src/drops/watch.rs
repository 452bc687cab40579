//! Reads the counters again and again, until told to stop.

use std::thread;
use std::time::{Duration, Instant};

use super::names::Names;
use super::table::Table;
use crate::output::drops::{DropLostRecord, DropSummaryRecord, DropsPrinter};
use crate::probe::drops::DropCounter;
use crate::trace::Stop;

/// How often to look for new namespaces and for the end.
const STEP: Duration = Duration::from_millis(20);

/// Counters under watch.
pub struct Watch<'k> {
    counter: DropCounter,
    names: Names<'k>,
    table: Table,
    printer: DropsPrinter,
    interval: Duration,
    began: Instant,
    read: Instant,
}

impl<'k> Watch<'k> {
    /// Puts the parts together; `counter` is attached already.
    pub fn new(counter: DropCounter, names: Names<'k>, printer: DropsPrinter, interval: Duration) -> Self {
        let now = Instant::now();
        Self { counter, names, table: Table::default(), printer, interval, began: now, read: now }
    }

    /// Runs until stopped, then detaches, reads once more and prints the summary.
    ///
    /// # Errors
    /// Standard output was closed, or the kernel does not hand its table out.
    pub fn run(mut self, stop: &Stop) -> anyhow::Result<()> {
        while !stop.is_now() {
            let rest = self.interval.saturating_sub(self.read.elapsed());
            if rest.is_zero() {
                self.turn(stop)?;
            } else {
                thread::sleep(rest.min(STEP));
            }
            self.names.tend();
        }
        self.counter.detach();
        self.turn(stop)?;
        self.finish(stop)
    }

    /// One reading, printed.
    fn turn(&mut self, stop: &Stop) -> anyhow::Result<()> {
        stop.beat();
        let counts = self.counter.read()?;
        let now = Instant::now();
        let interval = now - std::mem::replace(&mut self.read, now);
        self.table.update(&counts, &mut self.names);
        let summary = self.summary();
        let (table, printer) = (&self.table, &mut self.printer);
        Ok(stop.writes(|| printer.interval(table, interval, &summary))?)
    }

    fn finish(mut self, stop: &Stop) -> anyhow::Result<()> {
        let summary = self.summary();
        let rows = self.table.all(self.began.elapsed());
        Ok(stop.writes(|| self.printer.summary(&rows, &summary))?)
    }

    fn summary(&self) -> DropSummaryRecord {
        let rows = self.table.all(Duration::ZERO);
        let total =
            |wanted: fn(Option<bool>) -> bool| rows.iter().filter(|row| wanted(row.fault)).map(|row| row.count).sum();
        let losses = self.counter.losses();
        DropSummaryRecord {
            kind: "summary",
            drops: total(|_| true),
            harmless: total(|fault| fault == Some(false)),
            rows: rows.len() as u64,
            lost: DropLostRecord { overflow: losses.overflow, missed: losses.missed },
            seconds: (self.began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        }
    }
}
