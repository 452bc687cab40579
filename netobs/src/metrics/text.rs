//! Prometheus's text.
//!
//! Tens of thousands of series are mostly the same from one collection to the next. So each keeps the beginning of its
//! line, and what the crate `prometheus` would make anew for each is made once. Everything else it writes itself.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};
use prometheus::{Encoder, Registry, TEXT_FORMAT, TextEncoder};

use super::series::{Series, Shown};
use super::{Histogram, Kind, Metric, Store};

/// What the text is, in HTTP's words.
pub const CONTENT_TYPE: &str = TEXT_FORMAT;

/// Writes the text.
#[derive(Debug)]
pub struct Exposition {
    /// What is before the series of each metric.
    heads: HashMap<Metric, String>,
    /// Of the last text.
    length: usize,
}

impl Exposition {
    /// Checks the table by the rules of Prometheus.
    ///
    /// # Errors
    /// The table breaks one.
    pub fn new() -> prometheus::Result<Self> {
        let describe = |metric: &Metric| {
            let row = metric.row();
            let labels = row.labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(row.name.to_owned(), row.help.to_owned(), labels, HashMap::new())
        };
        let descriptions = Metric::ALL.iter().map(describe).collect::<prometheus::Result<_>>()?;
        Registry::new().register(Box::new(Table { descriptions }))?;
        let head = |metric: &Metric| Ok((*metric, head(*metric)?));
        Ok(Self { heads: Metric::ALL.iter().map(head).collect::<prometheus::Result<_>>()?, length: 0 })
    }

    /// Every series of the store.
    ///
    /// # Errors
    /// A value that Prometheus does not take.
    pub fn text(&mut self, store: &mut Store) -> prometheus::Result<String> {
        let mut text = String::with_capacity(self.length + self.length / 8);
        let mut last = None;
        for (series, line, shown) in store.table().all() {
            if last != Some(series.metric) {
                last = Some(series.metric);
                text.extend(self.heads.get(&series.metric).map(String::as_str));
            }
            if let Some(number) = shown.whole_number(series) {
                text.push_str(line);
                // A string takes whatever is written.
                let _ = writeln!(text, "{number}");
                continue;
            }
            match (shown, shown.number(series)) {
                (Shown::Histogram(histogram), _) => text.push_str(&whole(series, histogram)?),
                (_, Some(value)) => {
                    text.push_str(line);
                    let _ = writeln!(text, "{value}");
                }
                (_, None) => {}
            }
        }
        self.length = text.len();
        Ok(text)
    }
}

/// The whole table as one of the registry's collectors.
struct Table {
    descriptions: Vec<Desc>,
}

impl Collector for Table {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        Vec::new()
    }
}

/// What a series' line begins with: all but its value.
pub(super) fn beginning(series: &Series) -> String {
    let row = series.metric.row();
    let mut line = row.name.to_owned();
    for (number, (name, value)) in row.labels.iter().zip(&series.labels).enumerate() {
        let _ = write!(line, "{}{name}=\"", if number == 0 { '{' } else { ',' });
        for letter in value.chars() {
            match letter {
                '\\' => line.push_str("\\\\"),
                '\n' => line.push_str("\\n"),
                '"' => line.push_str("\\\""),
                other => line.push(other),
            }
        }
        line.push('"');
    }
    line.push_str(if row.labels.is_empty() { " " } else { "} " });
    line
}

/// `# HELP` and `# TYPE`
fn head(metric: Metric) -> prometheus::Result<String> {
    // The crate writes no family without a series.
    let text = encode(metric, proto::Metric::default())?;
    let comments = text.lines().filter(|line| line.starts_with("# "));
    Ok(comments.map(|line| format!("{line}\n")).collect())
}

/// All lines of a histogram.
fn whole(series: &Series, histogram: &Histogram) -> prometheus::Result<String> {
    let mut sample = proto::Metric::from_label(labels(series));
    sample.set_histogram(buckets(histogram));
    let text = encode(series.metric, sample)?;
    Ok(text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect())
}

/// As the crate writes it.
fn encode(metric: Metric, sample: proto::Metric) -> prometheus::Result<String> {
    let row = metric.row();
    let mut family = MetricFamily::default();
    family.set_name(row.name.to_owned());
    family.set_help(row.help.to_owned());
    family.set_field_type(match row.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
    });
    family.set_metric(vec![sample]);
    let mut text = Vec::new();
    TextEncoder::new().encode(&[family], &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn labels(series: &Series) -> Vec<LabelPair> {
    let pair = |(name, value): (&&str, &Arc<str>)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.to_string());
        pair
    };
    series.metric.row().labels.iter().zip(&series.labels).map(pair).collect()
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
        let mut exposition = Exposition::new().unwrap();
        let mut store = Store::new(100);
        store.begin(Instant::now());
        let netns = Arc::from("a\"\n\\b");
        store.counter(Metric::ConntrackDrops, &[&netns], Source(1, 0), 7);
        // 2^53: from here on not every whole number is a float.
        store.counter(Metric::ConntrackInvalid, &[&Arc::from("c")], Source(1, 0), (1 << 53) + 1);
        store.counter(Metric::ProgramRunSeconds, &[&Arc::from("p")], Source(1, 0), 1_500_000_000);
        let histogram = Histogram { buckets: vec![(0.5, 2), (1.0, 0), (2.0, 3)], above: 1, sum: 9.25 };
        store.histogram(Metric::HopLatency, &[&Arc::from("a"), &Arc::from("b")], histogram);
        store.end();
        let text = exposition.text(&mut store).unwrap();
        assert!(text.contains("\nnetobs_conntrack_drops_total{netns=\"a\\\"\\n\\\\b\"} 7\n"), "{text}");
        assert!(text.contains("\nnetobs_conntrack_invalid_total{netns=\"c\"} 9007199254740992\n"), "{text}");
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

    #[test]
    fn a_line_is_as_the_crate_writes_it() {
        for label in ["c1", "", "a\"\n\\b", "ü\t{}"] {
            let label: Arc<str> = label.into();
            for metric in Metric::ALL.iter().filter(|metric| metric.row().kind != Kind::Histogram) {
                let series = Series::of(*metric, &vec![&label; metric.row().labels.len()]);
                for value in [0.0, 7.0, 1.5, 1e15, f64::from(u32::MAX), 0.000_001] {
                    let mut sample = proto::Metric::from_label(labels(&series));
                    let (mut counter, mut gauge) = (proto::Counter::default(), proto::Gauge::default());
                    counter.set_value(value);
                    gauge.set_value(value);
                    sample.set_counter(counter);
                    sample.set_gauge(gauge);
                    let expected = encode(*metric, sample).unwrap();
                    let line = format!("{}{value}\n", beginning(&series));
                    assert_eq!(head(*metric).unwrap() + &line, expected);
                }
            }
        }
    }
}
