//! Prometheus's text.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};
use prometheus::{Encoder, Registry, TEXT_FORMAT, TextEncoder};

use super::store::{Series, Value};
use super::{Histogram, Kind, Metric, Store};

/// What the text is, in HTTP's words.
pub const CONTENT_TYPE: &str = TEXT_FORMAT;

/// A registry with every metric of the table.
#[derive(Debug)]
pub struct Exposition {
    registry: Registry,
    families: Arc<Mutex<Vec<MetricFamily>>>,
}

impl Exposition {
    /// Registers them.
    ///
    /// # Errors
    /// The table breaks a rule of Prometheus.
    pub fn new() -> prometheus::Result<Self> {
        let describe = |metric: &Metric| {
            let row = metric.row();
            let labels = row.labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(row.name.to_owned(), row.help.to_owned(), labels, HashMap::new())
        };
        let descriptions = Metric::ALL.iter().map(describe).collect::<prometheus::Result<_>>()?;
        let (registry, families) = (Registry::new(), Arc::default());
        registry.register(Box::new(Table { descriptions, families: Arc::clone(&families) }))?;
        Ok(Self { registry, families })
    }

    /// Every series of the store.
    ///
    /// # Errors
    /// A name or a value that Prometheus does not take.
    pub fn text(&self, store: &Store) -> prometheus::Result<String> {
        *self.families.lock().unwrap_or_else(PoisonError::into_inner) = families(store);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The whole table as one of the registry's collectors.
struct Table {
    descriptions: Vec<Desc>,
    families: Arc<Mutex<Vec<MetricFamily>>>,
}

impl Collector for Table {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        std::mem::take(&mut self.families.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn families(store: &Store) -> Vec<MetricFamily> {
    let all = store.all();
    let by_metric = all.chunk_by(|(a, _), (b, _)| a.metric == b.metric);
    by_metric.filter_map(|series| Some(family(series.first()?.0.metric, series))).collect()
}

fn family(metric: Metric, series: &[(&Series, Value<'_>)]) -> MetricFamily {
    let row = metric.row();
    let mut family = MetricFamily::default();
    family.set_name(row.name.to_owned());
    family.set_help(row.help.to_owned());
    family.set_field_type(match row.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
    });
    family.set_metric(series.iter().map(|(series, value)| sample(series, *value)).collect());
    family
}

fn sample(series: &Series, value: Value<'_>) -> proto::Metric {
    let pair = |(name, value): (&&str, &Arc<str>)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.to_string());
        pair
    };
    let labels = series.metric.row().labels.iter().zip(&series.labels).map(pair).collect();
    let mut sample = proto::Metric::from_label(labels);
    match value {
        Value::Number(value) if series.kind() == Kind::Counter => {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            sample.set_counter(counter);
        }
        Value::Number(value) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            sample.set_gauge(gauge);
        }
        Value::Histogram(histogram) => sample.set_histogram(buckets(histogram)),
    }
    sample
}

/// With buckets that hold those below them, too.
fn buckets(shown: &Histogram) -> proto::Histogram {
    let mut count = 0;
    let bucket = |(bound, within): &(f64, u64)| {
        count += within;
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(count);
        bucket
    };
    let buckets = shown.buckets.iter().map(bucket).collect();
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(count + shown.above);
    histogram.set_sample_sum(shown.sum);
    histogram
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::Source;
    use super::*;

    #[test]
    fn the_whole_table_can_be_registered_and_a_name_of_a_stranger_cannot_break_a_line() {
        let exposition = Exposition::new().unwrap();
        let mut store = Store::new(100);
        store.begin(Instant::now());
        let netns = Arc::from("a\"\n\\b");
        store.counter(Metric::ConntrackDrops, &[&netns], Source(1, 0), 7);
        store.counter(Metric::ProgramRunSeconds, &[&Arc::from("p")], Source(1, 0), 1_500_000_000);
        let histogram = Histogram { buckets: vec![(0.5, 2), (1.0, 0), (2.0, 3)], above: 1, sum: 9.25 };
        store.histogram(Metric::HopLatency, &[&Arc::from("a"), &Arc::from("b")], histogram);
        store.end();
        let text = exposition.text(&store).unwrap();
        assert!(text.contains("\nnetobs_conntrack_drops_total{netns=\"a\\\"\\n\\\\b\"} 7\n"), "{text}");
        assert!(text.contains("\nnetobs_bpf_program_run_seconds_total{program=\"p\"} 1.5\n"), "{text}");
        for (end, value) in [
            ("bucket{from_hook=\"a\",to_hook=\"b\",le=\"0.5\"}", "2"),
            ("bucket{from_hook=\"a\",to_hook=\"b\",le=\"1\"}", "2"),
            ("bucket{from_hook=\"a\",to_hook=\"b\",le=\"2\"}", "5"),
            ("bucket{from_hook=\"a\",to_hook=\"b\",le=\"+Inf\"}", "6"),
            ("sum{from_hook=\"a\",to_hook=\"b\"}", "9.25"),
            ("count{from_hook=\"a\",to_hook=\"b\"}", "6"),
        ] {
            assert!(text.contains(&format!("\nnetobs_hop_latency_seconds_{end} {value}\n")), "{text}");
        }
        assert!(text.contains("# TYPE netobs_series_limit gauge\n"), "{text}");
        assert!(text.contains("# HELP netobs_conntrack_drops_total Packets dropped"), "{text}");
    }
}
