//! Series and their values, from one collection to the next.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Kind, Metric};

/// How long a counter goes on being served after the last reading: its end should be scraped once at least, and be over
/// within a minute.
const LINGER: Duration = Duration::from_secs(40);

/// Who counts: two of them may add to one series, each from its own zero. One that comes again under the same number has
/// begun anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(pub u64, pub u64);

/// A metric and the values of its labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Series {
    pub(super) metric: Metric,
    pub(super) labels: Box<[Arc<str>]>,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    total: u64,
    seen: Instant,
}

/// How many were how large.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// The upper bound of each bucket, and how many are within it: those of the buckets below are not counted again.
    pub buckets: Vec<(f64, u64)>,
    /// Those above the last bound.
    pub above: u64,
    /// The sum of all.
    pub sum: f64,
}

/// What a series shows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Number(f64),
    Histogram(&'a Histogram),
}

/// All series. A collection is what comes between [`Self::begin`] and [`Self::end`].
#[derive(Debug)]
pub struct Store {
    now: Instant,
    limit: usize,
    gauges: HashMap<Series, f64>,
    histograms: HashMap<Series, Histogram>,
    counters: HashMap<Series, Counter>,
    /// What each source showed last.
    sources: HashMap<(Source, Series), Counter>,
    left_out: HashSet<Series>,
}

impl Store {
    /// Nothing yet, and at most that many series.
    pub fn new(limit: usize) -> Self {
        Self {
            now: Instant::now(),
            limit,
            gauges: HashMap::new(),
            histograms: HashMap::new(),
            counters: HashMap::new(),
            sources: HashMap::new(),
            left_out: HashSet::new(),
        }
    }

    /// Begins a collection. Gauges are forgotten: what is not told again is no more.
    pub fn begin(&mut self, now: Instant) {
        self.now = now;
        self.gauges.clear();
        self.histograms.clear();
        self.left_out.clear();
    }

    /// Takes in what a source's counter shows. A source that shows less than before has begun anew, at zero.
    pub fn counter(&mut self, metric: Metric, labels: &[&Arc<str>], source: Source, value: u64) {
        let series = Series::of(metric, labels);
        let full = self.is_full();
        let seen = self.now;
        let total = match self.counters.entry(series) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) if full => {
                self.left_out.insert(entry.into_key());
                return;
            }
            Entry::Vacant(entry) => entry.insert(Counter { total: 0, seen }),
        };
        let last = self.sources.entry((source, Series::of(metric, labels))).or_insert(Counter { total: 0, seen });
        total.total = total.total.saturating_add(value.checked_sub(last.total).unwrap_or(value));
        total.seen = seen;
        *last = Counter { total: value, seen };
    }

    /// Another number of series. Those there are stay.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// What a gauge shows. Where several say something of one series, such as namespaces without a name, it is their sum.
    pub fn gauge(&mut self, metric: Metric, labels: &[&Arc<str>], value: f64) {
        let full = self.is_full();
        match self.gauges.entry(Series::of(metric, labels)) {
            Entry::Occupied(mut entry) => *entry.get_mut() += value,
            Entry::Vacant(entry) if full => {
                self.left_out.insert(entry.into_key());
            }
            Entry::Vacant(entry) => {
                entry.insert(value);
            }
        }
    }

    /// What a histogram shows that never begins anew.
    pub fn histogram(&mut self, metric: Metric, labels: &[&Arc<str>], histogram: Histogram) {
        let series = Series::of(metric, labels);
        if self.is_full() {
            self.left_out.insert(series);
        } else {
            self.histograms.insert(series, histogram);
        }
    }

    /// Ends the collection, and the series of which nothing was heard for a while.
    pub fn end(&mut self) {
        let now = self.now;
        let is_fresh = |counter: &Counter| now.saturating_duration_since(counter.seen) < LINGER;
        self.counters.retain(|_, counter| is_fresh(counter));
        self.sources.retain(|_, counter| is_fresh(counter));
        // These two find room whatever the limit: they tell of it.
        self.gauges.insert(Series::of(Metric::SeriesLimit, &[]), self.limit as f64);
        self.gauges.insert(Series::of(Metric::SeriesLeftOut, &[]), self.left_out.len() as f64);
    }

    /// Every series with its value, by metric and labels.
    pub(super) fn all(&self) -> Vec<(&Series, Value<'_>)> {
        let number = |(series, counter): (_, &Counter)| (series, Value::Number(value(series, counter.total)));
        let gauges = self.gauges.iter().map(|(series, value)| (series, Value::Number(*value)));
        let histograms = self.histograms.iter().map(|(series, histogram)| (series, Value::Histogram(histogram)));
        let mut all: Vec<_> = gauges.chain(histograms).chain(self.counters.iter().map(number)).collect();
        all.sort_unstable_by_key(|(series, _)| *series);
        all
    }

    fn is_full(&self) -> bool {
        // Beside its buckets a histogram has a sum, a count, and the bucket of all.
        let histograms: usize = self.histograms.values().map(|histogram| histogram.buckets.len() + 3).sum();
        self.gauges.len() + self.counters.len() + histograms >= self.limit
    }
}

/// Totals are whole numbers; those of time are of nanoseconds.
fn value(series: &Series, total: u64) -> f64 {
    let unit = if series.metric.row().name.ends_with("_seconds_total") { 1e9 } else { 1.0 };
    total as f64 / unit
}

impl Series {
    fn of(metric: Metric, labels: &[&Arc<str>]) -> Self {
        debug_assert_eq!(metric.row().labels.len(), labels.len(), "{metric:?}");
        Self { metric, labels: labels.iter().copied().cloned().collect() }
    }

    /// Whether it only grows.
    pub(super) fn kind(&self) -> Kind {
        self.metric.row().kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DROPS: Metric = Metric::ConntrackDrops;

    fn values(store: &Store, metric: Metric) -> Vec<f64> {
        let number = |value| match value {
            Value::Number(number) => number,
            Value::Histogram(histogram) => histogram.sum,
        };
        let all = store.all().into_iter().filter(|(series, _)| series.metric == metric);
        all.map(|(_, value)| number(value)).collect()
    }

    /// A collection in which each source shows something for one series.
    fn collect(store: &mut Store, now: Instant, shown: &[(u64, u64)]) {
        let netns = Arc::from("c1");
        store.begin(now);
        for (source, value) in shown {
            store.counter(DROPS, &[&netns], Source(*source, 0), *value);
        }
        store.end();
    }

    #[test]
    fn a_counter_never_goes_back() {
        let (mut store, now) = (Store::new(100), Instant::now());
        for (shown, expected) in [
            (&[(1, 100)][..], 100.0),
            (&[(1, 130)], 130.0),
            // Another namespace of the same name, in the place of the first.
            (&[(2, 5)], 135.0),
            (&[(2, 6), (3, 10)], 146.0),
            // Began anew.
            (&[(2, 6), (3, 4)], 150.0),
        ] {
            collect(&mut store, now, shown);
            assert_eq!(values(&store, DROPS), [expected], "{shown:?}");
        }
    }

    #[test]
    fn what_is_gone_ends_within_a_minute() {
        let (mut store, now) = (Store::new(100), Instant::now());
        collect(&mut store, now, &[(1, 7)]);
        collect(&mut store, now + LINGER - Duration::from_secs(1), &[]);
        assert_eq!(values(&store, DROPS), [7.0]);
        collect(&mut store, now + Duration::from_secs(60), &[]);
        assert!(values(&store, DROPS).is_empty() && store.sources.is_empty());
        collect(&mut store, now + Duration::from_secs(61), &[(2, 3)]);
        assert_eq!(values(&store, DROPS), [3.0]);
    }

    #[test]
    fn a_limit_keeps_what_is_there_and_says_what_is_not() {
        let (mut store, now) = (Store::new(3), Instant::now());
        for round in 0..2 {
            store.begin(now);
            for (number, name) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
                store.counter(DROPS, &[&Arc::from(name)], Source(number as u64, 0), round);
            }
            store.end();
            assert_eq!(values(&store, DROPS).len(), 3);
            assert_eq!(values(&store, Metric::SeriesLeftOut), [2.0]);
            assert_eq!(values(&store, Metric::SeriesLimit), [3.0]);
        }
    }

    #[test]
    fn gauges_of_one_name_add_up_and_end_at_once() {
        let (mut store, netns) = (Store::new(100), Arc::from("unnamed"));
        store.begin(Instant::now());
        store.gauge(Metric::ConntrackEntries, &[&netns], 3.0);
        store.gauge(Metric::ConntrackEntries, &[&netns], 4.0);
        store.end();
        assert_eq!(values(&store, Metric::ConntrackEntries), [7.0]);
        store.begin(Instant::now());
        store.end();
        assert!(values(&store, Metric::ConntrackEntries).is_empty());
    }
}
