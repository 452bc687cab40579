//! Series and their values, from one collection to the next.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Metric;
use super::series::{Series, Shown, Table};

/// How long a counter goes on being served after the last reading: its end should be scraped once at least, and be over
/// within a minute.
const LINGER: Duration = Duration::from_secs(40);

/// These two find room whatever the limit: they tell of it.
const OWN: [Metric; 2] = [Metric::SeriesLimit, Metric::SeriesLeftOut];

/// Who counts: two of them may add to one series, each from its own zero. One that comes again under the same number has
/// begun anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(pub u64, pub u64);

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

/// What a source showed last of one of its series.
#[derive(Clone, Copy, Debug)]
struct Last {
    place: usize,
    value: u64,
    seen: Instant,
}

/// All series. A collection is what comes between [`Self::begin`] and [`Self::end`].
#[derive(Debug)]
pub struct Store {
    now: Instant,
    limit: usize,
    table: Table,
    /// What each source showed last: one series of a metric, but for few. Found without looking at labels.
    sources: HashMap<(Source, Metric), Vec<Last>>,
    left_out: HashSet<Series>,
}

impl Store {
    /// Nothing yet, and at most that many series.
    pub fn new(limit: usize) -> Self {
        let mut table = Table::default();
        for metric in OWN {
            table.place(Series::of(metric, &[]));
        }
        Self { now: Instant::now(), limit, table, sources: HashMap::new(), left_out: HashSet::new() }
    }

    /// From now on at most that many. Series that are there stay.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Begins a collection. Gauges are forgotten: what is not told again is no more.
    pub fn begin(&mut self, now: Instant) {
        self.now = now;
        self.left_out.clear();
    }

    /// Takes in what a source's counter shows. A source that shows less than before has begun anew, at zero.
    pub fn counter(&mut self, metric: Metric, labels: &[&Arc<str>], source: Source, value: u64) {
        let now = self.now;
        let lasts = self.sources.entry((source, metric)).or_default();
        let known = lasts.iter_mut().find(|last| self.table.has_labels(last.place, labels));
        let (place, before) = match known {
            Some(last) => {
                let before = last.value;
                (last.value, last.seen) = (value, now);
                (last.place, before)
            }
            None => {
                let Some(place) = place(&mut self.table, self.limit, &mut self.left_out, metric, labels) else {
                    return;
                };
                lasts.push(Last { place, value, seen: now });
                (place, 0)
            }
        };
        let more = value.checked_sub(before).unwrap_or(value);
        self.table.show(place, now, |shown| match shown {
            Shown::Counter(total) => *total = total.saturating_add(more),
            other => *other = Shown::Counter(more),
        });
    }

    /// What a gauge shows. Where several say something of one series, such as namespaces without a name, it is their sum.
    pub fn gauge(&mut self, metric: Metric, labels: &[&Arc<str>], value: f64) {
        let now = self.now;
        let Some(place) = place(&mut self.table, self.limit, &mut self.left_out, metric, labels) else { return };
        let is_first = self.table.seen(place) != Some(now);
        self.table.show(place, now, |shown| match shown {
            Shown::Gauge(sum) if !is_first => *sum += value,
            other => *other = Shown::Gauge(value),
        });
    }

    /// What a histogram shows that never begins anew.
    pub fn histogram(&mut self, metric: Metric, labels: &[&Arc<str>], histogram: Histogram) {
        let Some(place) = place(&mut self.table, self.limit, &mut self.left_out, metric, labels) else { return };
        self.table.show(place, self.now, |shown| *shown = Shown::Histogram(histogram));
    }

    /// Ends the collection, and the series of which nothing was heard for a while.
    pub fn end(&mut self) {
        let now = self.now;
        let is_fresh = |seen: Instant| now.saturating_duration_since(seen) < LINGER;
        // A source was never heard of later than its series.
        self.sources.retain(|_, lasts| {
            lasts.retain(|last| is_fresh(last.seen));
            !lasts.is_empty()
        });
        self.table.retain(|shown, seen| match shown {
            Shown::Counter(_) => is_fresh(seen),
            Shown::Gauge(_) | Shown::Histogram(_) => seen == now,
        });
        for (metric, value) in OWN.into_iter().zip([self.limit as f64, self.left_out.len() as f64]) {
            let place = self.table.place(Series::of(metric, &[]));
            self.table.show(place, now, |shown| *shown = Shown::Gauge(value));
        }
    }

    /// Every series with what it shows, by metric and labels.
    pub(super) fn table(&mut self) -> &mut Table {
        &mut self.table
    }
}

/// The place of a series, if there is one or there is room.
fn place(
    table: &mut Table,
    limit: usize,
    left_out: &mut HashSet<Series>,
    metric: Metric,
    labels: &[&Arc<str>],
) -> Option<usize> {
    let series = Series::of(metric, labels);
    if let Some(place) = table.find(&series) {
        return Some(place);
    }
    if table.lines() >= limit + OWN.len() {
        left_out.insert(series);
        return None;
    }
    Some(table.place(series))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DROPS: Metric = Metric::ConntrackDrops;

    fn values(store: &mut Store, metric: Metric) -> Vec<f64> {
        let all = store.table().all().filter(|(series, _, _)| series.metric == metric);
        all.map(|(series, _, shown)| shown.number(series).unwrap()).collect()
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
            assert_eq!(values(&mut store, DROPS), [expected], "{shown:?}");
        }
    }

    #[test]
    fn what_is_gone_ends_within_a_minute() {
        let (mut store, now) = (Store::new(100), Instant::now());
        collect(&mut store, now, &[(1, 7)]);
        collect(&mut store, now + LINGER - Duration::from_secs(1), &[]);
        assert_eq!(values(&mut store, DROPS), [7.0]);
        collect(&mut store, now + Duration::from_secs(60), &[]);
        assert!(values(&mut store, DROPS).is_empty() && store.sources.is_empty());
        collect(&mut store, now + Duration::from_secs(61), &[(2, 3)]);
        assert_eq!(values(&mut store, DROPS), [3.0]);
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
            assert_eq!(values(&mut store, DROPS).len(), 3);
            assert_eq!(values(&mut store, Metric::SeriesLeftOut), [2.0]);
            assert_eq!(values(&mut store, Metric::SeriesLimit), [3.0]);
        }
    }

    #[test]
    fn gauges_of_one_name_add_up_and_end_at_once() {
        let (mut store, netns) = (Store::new(100), Arc::from("unnamed"));
        store.begin(Instant::now());
        store.gauge(Metric::ConntrackEntries, &[&netns], 3.0);
        store.gauge(Metric::ConntrackEntries, &[&netns], 4.0);
        store.end();
        assert_eq!(values(&mut store, Metric::ConntrackEntries), [7.0]);
        store.begin(Instant::now());
        store.end();
        assert!(values(&mut store, Metric::ConntrackEntries).is_empty());
    }
}
