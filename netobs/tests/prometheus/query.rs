//! What a query of Prometheus speaks of, and whether there is such a thing.

use netobs::metrics::Metric;

/// A metric, and the labels it is selected by.
#[derive(Debug, PartialEq, Eq)]
pub struct Selected {
    pub metric: String,
    pub labels: Vec<String>,
}

/// The names in a query.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub selected: Vec<Selected>,
    /// Labels that it groups by.
    pub grouped: Vec<String>,
}

/// What any series has that Prometheus scraped.
const OF_PROMETHEUS: [&str; 2] = ["job", "instance"];
/// Prometheus's own metrics that are used, and their labels.
const ITS_METRICS: [(&str, &[&str]); 4] = [
    ("up", &[]),
    ("ALERTS", &["alertname", "alertstate", "severity", "netns"]),
    ("scrape_duration_seconds", &[]),
    ("scrape_samples_scraped", &[]),
];
const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: [&str; 7] = ["and", "or", "unless", "bool", "offset", "atan2", "inf"];

/// Takes a query apart, as far as names go.
pub fn names(query: &str) -> Names {
    let mut names = Names::default();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            rest = after_string(rest);
        } else if first == '[' {
            rest = rest.split_once(']').expect(query).1;
        } else if first.is_ascii_digit() {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else if first.is_ascii_alphabetic() || first == '_' {
            let (word, behind) = word(rest);
            rest = behind.trim_start();
            if GROUPING.contains(&word) {
                let (labels, behind) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).expect(query);
                names.grouped.extend(labels.split(',').map(|label| label.trim().to_owned()));
                rest = behind;
            } else if rest.starts_with('{') {
                let (labels, behind) = matchers(rest);
                names.selected.push(Selected { metric: word.to_owned(), labels });
                rest = behind;
            } else if !OPERATORS.contains(&word) && !rest.starts_with('(') && !GROUPING.contains(&self::word(rest).0) {
                names.selected.push(Selected { metric: word.to_owned(), labels: Vec::new() });
            }
        } else {
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    names
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    text.split_at(end)
}

fn after_string(text: &str) -> &str {
    let mut escaped = true;
    let end = text.find(|c| {
        let is_end = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        is_end
    });
    // The first one opens it.
    text.split_at(end.expect(text) + 1).1
}

fn matchers(text: &str) -> (Vec<String>, &str) {
    let mut labels = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(['{', ',', ' ', '\n', '=', '!', '~']);
        if let Some(behind) = rest.strip_prefix('}') {
            return (labels, behind);
        }
        if rest.starts_with('"') {
            rest = after_string(rest);
        } else {
            let (label, behind) = word(rest);
            assert!(!label.is_empty(), "{text}");
            labels.push(label.to_owned());
            rest = behind;
        }
    }
}

/// Labels of a metric; `None` if there is no such metric. Those of recorded ones are `recorded`'s matter.
fn labels_of(metric: &str, recorded: &[(String, String)]) -> Option<Vec<String>> {
    if let Some((_, labels)) = ITS_METRICS.iter().find(|(name, _)| *name == metric) {
        return Some(labels.iter().map(|label| (*label).to_owned()).collect());
    }
    if let Some((_, query)) = recorded.iter().find(|(name, _)| name == metric) {
        return Some(
            names(query).selected.iter().flat_map(|selected| labels_of(&selected.metric, recorded)).flatten().collect(),
        );
    }
    let table = || Metric::ALL.iter().map(|metric| metric.row());
    let of = |name: &str| table().find(|row| row.name == name);
    let histogram = |end| of(metric.strip_suffix(end)?).filter(|row| row.kind.name() == "histogram");
    let row = of(metric).or_else(|| ["_bucket", "_sum", "_count"].into_iter().find_map(histogram))?;
    let le = metric.ends_with("_bucket").then_some("le");
    Some(row.labels.iter().copied().chain(le).map(str::to_owned).collect())
}

/// What a query speaks of and is not there, in words. `recorded` are the recording rules, by name. `told` are labels that
/// a legend or an annotation names.
pub fn strangers(query: &str, told: &[String], recorded: &[(String, String)]) -> Vec<String> {
    let names = names(query);
    let mut strangers = Vec::new();
    let mut known: Vec<String> = OF_PROMETHEUS.map(str::to_owned).to_vec();
    for Selected { metric, labels } in &names.selected {
        match labels_of(metric, recorded) {
            Some(of_metric) => {
                let is_strange =
                    |label: &&String| !of_metric.contains(label) && !OF_PROMETHEUS.contains(&label.as_str());
                strangers
                    .extend(labels.iter().filter(is_strange).map(|label| format!("{metric} has no label {label}")));
                known.extend(of_metric);
            }
            None => strangers.push(format!("there is no metric {metric}")),
        }
    }
    if names.selected.is_empty() {
        strangers.push("it asks for nothing".to_owned());
    }
    let unknown = names.grouped.iter().chain(told).filter(|label| !known.contains(label));
    strangers.extend(unknown.map(|label| format!("nothing here has a label {label}")));
    strangers
}

#[test]
fn names_in_a_query_are_found() {
    let query = "topk(10, sum by (netns, cause) (rate(a_total{netns=~\"x}\\\"\", cause!=\"b\"}[5m])))\n / on (netns) (c:d > 0.5e3) or vector(0) and up";
    let selected = |metric: &str, labels: &[&str]| Selected {
        metric: metric.to_owned(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
    };
    let expected = Names {
        selected: vec![selected("a_total", &["netns", "cause"]), selected("c:d", &[]), selected("up", &[])],
        grouped: ["netns", "cause", "netns"].map(str::to_owned).to_vec(),
    };
    assert_eq!(names(query), expected);
}

#[test]
fn what_is_not_there_is_told() {
    let recorded = [("r:drops".to_owned(), "sum without (reason) (netobs_packet_drops_total)".to_owned())];
    for (query, told, expected) in [
        ("rate(netobs_packet_drops_total{cause=\"mtu\",instance=\"a\"}[5m])", "netns", ""),
        ("r:drops{cause=\"mtu\"}", "cause", ""),
        ("netobs_packet_drop_total", "job", "there is no metric netobs_packet_drop_total"),
        ("netobs_packet_drops_total{netnss=\"a\"}", "job", "netobs_packet_drops_total has no label netnss"),
        ("sum by (devise) (netobs_hop_packets_total)", "job", "nothing here has a label devise"),
        ("netobs_mtu_drops_total", "cause", "nothing here has a label cause"),
        ("r:others", "job", "there is no metric r:others"),
        ("vector(0)", "job", "it asks for nothing"),
    ] {
        assert_eq!(strangers(query, &[told.to_owned()], &recorded).join("; "), expected, "{query}");
    }
}
