//! Series by their place, by their names, and in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::{Histogram, Metric, text};

/// A metric and the values of its labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Series {
    pub(super) metric: Metric,
    pub(super) labels: Box<[Arc<str>]>,
}

impl Series {
    pub(super) fn of(metric: Metric, labels: &[&Arc<str>]) -> Self {
        debug_assert_eq!(metric.row().labels.len(), labels.len(), "{metric:?}");
        Self { metric, labels: labels.iter().copied().cloned().collect() }
    }

    /// Whether its total is of nanoseconds.
    fn is_time(&self) -> bool {
        self.metric.row().name.ends_with("_seconds_total")
    }
}

/// What a series shows.
#[derive(Clone, Debug)]
pub(super) enum Shown {
    Counter(u64),
    Gauge(f64),
    Histogram(Histogram),
}

impl Shown {
    /// Totals are whole numbers; those of time are of nanoseconds. `None` for a histogram.
    pub(super) fn number(&self, series: &Series) -> Option<f64> {
        Some(match self {
            Self::Counter(total) if series.is_time() => *total as f64 / 1e9,
            Self::Counter(total) => *total as f64,
            Self::Gauge(value) => *value,
            Self::Histogram(_) => return None,
        })
    }

    /// The same if it is a whole number, which is written as a float that has one would be, but in a tenth of the time.
    pub(super) fn whole_number(&self, series: &Series) -> Option<u64> {
        match self {
            Self::Counter(total) if *total < 1 << f64::MANTISSA_DIGITS && !series.is_time() => Some(*total),
            _ => None,
        }
    }

    /// Lines that it takes: beside its buckets a histogram has a sum, a count, and the bucket of all.
    fn lines(&self) -> usize {
        match self {
            Self::Counter(_) | Self::Gauge(_) => 1,
            Self::Histogram(histogram) => histogram.buckets.len() + 3,
        }
    }
}

/// A series that is there.
#[derive(Debug)]
struct Entry {
    series: Arc<Series>,
    /// What its line begins with: it is the same in every collection.
    line: Box<str>,
    shown: Shown,
    seen: Option<Instant>,
}

/// All of them. A place is a series' own for as long as it is there.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    places: HashMap<Arc<Series>, usize>,
    /// Places by series, but for those that came since.
    order: Vec<usize>,
    is_in_order: bool,
    lines: usize,
}

impl Table {
    pub(super) fn find(&self, series: &Series) -> Option<usize> {
        self.places.get(series).copied()
    }

    /// The place of a series, which is there from now on.
    pub(super) fn place(&mut self, series: Series) -> usize {
        if let Some(place) = self.find(&series) {
            return place;
        }
        let series = Arc::new(series);
        let line = text::beginning(&series).into();
        let entry = Entry { series: Arc::clone(&series), line, shown: Shown::Gauge(0.0), seen: None };
        self.lines += 1;
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.entries.push(None);
                self.entries.len() - 1
            }
        };
        if let Some(empty) = self.entries.get_mut(place) {
            *empty = Some(entry);
        }
        self.places.insert(series, place);
        self.order.push(place);
        self.is_in_order = false;
        place
    }

    /// Whether what is there has these labels.
    pub(super) fn has_labels(&self, place: usize, labels: &[&Arc<str>]) -> bool {
        let is_same = |(known, label): (&Arc<str>, &&Arc<str>)| Arc::ptr_eq(known, label) || known == *label;
        let entry = self.entries.get(place).and_then(Option::as_ref);
        entry.is_some_and(|entry| entry.series.labels.iter().zip(labels).all(is_same))
    }

    /// When something was heard of it last.
    pub(super) fn seen(&self, place: usize) -> Option<Instant> {
        self.entries.get(place)?.as_ref()?.seen
    }

    pub(super) fn show(&mut self, place: usize, now: Instant, change: impl FnOnce(&mut Shown)) {
        if let Some(Some(entry)) = self.entries.get_mut(place) {
            self.lines -= entry.shown.lines();
            change(&mut entry.shown);
            self.lines += entry.shown.lines();
            entry.seen = Some(now);
        }
    }

    /// Ends all others.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&Shown, Instant) -> bool) {
        let Self { entries, free, places, order, lines, .. } = self;
        order.retain(|place| {
            let Some(slot) = entries.get_mut(*place) else { return false };
            let Some(entry) = slot else { return false };
            if entry.seen.is_some_and(|seen| is_kept(&entry.shown, seen)) {
                return true;
            }
            *lines -= entry.shown.lines();
            places.remove(&entry.series);
            *slot = None;
            free.push(*place);
            false
        });
    }

    /// Lines that all of them take.
    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    /// By metric and labels: each with the beginning of its line and what it shows.
    pub(super) fn all(&mut self) -> impl Iterator<Item = (&Series, &str, &Shown)> {
        let Self { entries, order, is_in_order, .. } = self;
        let entry = |place: &usize| entries.get(*place).and_then(Option::as_ref);
        if !*is_in_order {
            order.sort_by(|a, b| entry(a).map(|entry| &entry.series).cmp(&entry(b).map(|entry| &entry.series)));
            *is_in_order = true;
        }
        order.iter().filter_map(|place| {
            let Entry { series, line, shown, .. } = entries.get(*place)?.as_ref()?;
            Some((&**series, &**line, shown))
        })
    }
}
