//! Rows and their rates.

use std::collections::HashMap;
use std::time::Duration;

use super::names::{Named, Names, Place};
use crate::explain;
use crate::output::drops::DropCountRecord;
use crate::probe::drops::{DropCount, DropRow};

/// One row's figures.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    total: u64,
    /// Since the reading before.
    new: u64,
}

/// Every row ever read, by name.
#[derive(Debug, Default)]
pub struct Table {
    /// The name a row got when it was first read: what it names may be gone now.
    names: HashMap<DropRow, Named>,
    rows: HashMap<Named, Figures>,
}

impl Table {
    /// Takes in a reading.
    pub fn update(&mut self, counts: &[DropCount], names: &mut Names<'_>) {
        let mut totals: HashMap<Named, u64> = HashMap::with_capacity(self.rows.len());
        for count in counts {
            let named = self.names.entry(count.row).or_insert_with(|| names.name(&count.row));
            *totals.entry(named.clone()).or_default() += count.packets;
        }
        for (named, total) in totals {
            let figures = self.rows.entry(named).or_default();
            // A row of which a reading saw only a part (it was being inserted) never goes back.
            figures.new = total.saturating_sub(figures.total);
            figures.total = figures.total.max(total);
        }
    }

    /// The rows that changed with the last reading, which came that long after the one before it; the busiest first.
    pub fn changed(&self, interval: Duration) -> Vec<DropCountRecord> {
        self.records(interval, |figures| figures.new > 0)
    }

    /// All rows, the busiest first, and of those that are quiet the largest.
    pub fn all(&self, interval: Duration) -> Vec<DropCountRecord> {
        self.records(interval, |_| true)
    }

    fn records(&self, interval: Duration, wanted: impl Fn(&Figures) -> bool) -> Vec<DropCountRecord> {
        let mut rows: Vec<_> = self.rows.iter().filter(|(_, figures)| wanted(figures)).collect();
        rows.sort_by(|(a_name, a), (b_name, b)| {
            (b.new, b.total).cmp(&(a.new, a.total)).then_with(|| a_name.cmp(b_name))
        });
        rows.into_iter().map(|(named, figures)| record(named, *figures, interval)).collect()
    }
}

fn record(named: &Named, figures: Figures, interval: Duration) -> DropCountRecord {
    let (function, address) = match &named.place {
        Some(Place::Function(name)) => (Some(name.clone()), None),
        Some(Place::Address(address)) => (None, Some(*address)),
        None => (None, None),
    };
    let explanation = explain::drop(named.reason.as_deref(), function.as_deref());
    let place =
        explain::Place { netns: named.netns.clone(), device: named.device.clone(), ..explain::Place::default() };
    let told = |lines: &[&str]| lines.iter().map(|line| explain::advice(line, &place)).collect();
    let seconds = interval.as_secs_f64();
    DropCountRecord {
        kind: "drop",
        reason: named.reason.clone(),
        reason_number: named.reason_number,
        function,
        address,
        netns: named.netns.clone(),
        netns_inode: named.netns_inode,
        device: named.device.clone(),
        ifindex: named.ifindex,
        proto: named.proto.clone(),
        count: figures.total,
        new: figures.new,
        // Whole packets a second are exact enough to read and short enough to print.
        rate: if seconds > 0.0 { (figures.new as f64 / seconds * 10.0).round() / 10.0 } else { 0.0 },
        interval: (seconds * 1000.0).round() / 1000.0,
        fault: explanation.kind.is_fault(),
        explanation: explanation.what,
        causes: told(explanation.causes),
        look: told(explanation.look),
    }
}
