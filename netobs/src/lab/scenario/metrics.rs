//! What of a fault can be seen from afar, in the metrics of `netobs agent`.

use std::fmt;

use serde::Serialize;

use super::super::LabName;
use crate::metrics::Metric;

/// What a Prometheus shows that scrapes the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Shown {
    /// A node's series rise, and alerts of `dashboards/rules` fire as long as it goes on.
    Series {
        /// The node.
        node: String,
        /// The series: a metric's name and labels, without that of the namespace.
        rises: Vec<Selector>,
        /// The alerts' names.
        alerts: Vec<String>,
    },
    /// Nothing, since the kernel counts nothing that the agent serves.
    Nothing {
        /// Why that is so.
        none: String,
    },
}

/// A metric and some of its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    metric: Metric,
    labels: Vec<(String, String)>,
}

impl Selector {
    /// As Prometheus selects it for a namespace.
    pub fn of(&self, netns: &str) -> String {
        let labels: String = self.labels.iter().map(|(name, value)| format!(",{name}=\"{value}\"")).collect();
        format!("{}{{netns=\"{netns}\"{labels}}}", self.metric.row().name)
    }
}

impl std::str::FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, labels) = match text.strip_suffix('}').and_then(|text| text.split_once('{')) {
            Some((name, labels)) => (name, labels.split(',').collect()),
            None => (text, Vec::new()),
        };
        let metric = Metric::ALL.iter().copied().find(|metric| metric.row().name == name);
        let metric =
            metric.ok_or_else(|| format!("`{name}` is no metric; `netobs agent --list-metrics` lists them"))?;
        let row = metric.row();
        if !row.labels.contains(&"netns") {
            return Err(format!("`{name}` is not counted for each namespace"));
        }
        let label = |text: &str| {
            let parts = text.split_once('=').and_then(|(name, value)| {
                let value = value.strip_prefix('"')?.strip_suffix('"')?;
                let is_plain = value.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
                (name != "netns" && row.labels.contains(&name) && is_plain).then(|| (name.to_owned(), value.to_owned()))
            });
            parts.ok_or_else(|| format!("`{text}` is no label of `{name}`"))
        };
        Ok(Self { metric, labels: labels.into_iter().map(label).collect::<Result<_, _>>()? })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric.row().name)?;
        let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        if labels.is_empty() { Ok(()) } else { write!(f, "{{{}}}", labels.join(",")) }
    }
}

impl Serialize for Selector {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Shown {
    /// Told of a lab, a line for each thing.
    pub fn told(&self, lab: &LabName) -> Vec<String> {
        match self {
            Self::Series { node, rises, alerts } => {
                let netns = lab.namespace(node);
                let rises = rises.iter().map(|series| format!("{} rises", series.of(&netns)));
                let fires = alerts.iter().map(|alert| format!("alert {alert} fires if it goes on"));
                let told = "Not looked at here: what `netobs agent` shows Prometheus of it.";
                [told.to_owned()].into_iter().chain(rises).chain(fires).collect()
            }
            Self::Nothing { none } => vec![format!("`netobs agent` shows Prometheus nothing of it. {none}")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_one_of_the_table() {
        let good: Selector = "netobs_packet_drops_total{cause=\"mtu\",reason=\"PKT_TOO_BIG\"}".parse().unwrap();
        assert_eq!(
            good.of("lab-c1"),
            "netobs_packet_drops_total{netns=\"lab-c1\",cause=\"mtu\",reason=\"PKT_TOO_BIG\"}"
        );
        assert_eq!("netobs_mtu_drops_total".parse::<Selector>().unwrap().to_string(), "netobs_mtu_drops_total");
        for (text, part) in [
            ("netobs_nothing_total", "is no metric"),
            ("netobs_series_limit", "not counted for each namespace"),
            ("netobs_mtu_drops_total{cause=\"mtu\"}", "`cause=\"mtu\"` is no label"),
            ("netobs_packet_drops_total{netns=\"c1\"}", "is no label"),
            ("netobs_packet_drops_total{cause=mtu}", "is no label"),
            ("netobs_packet_drops_total{cause=\"a\\\"b\"}", "is no label"),
        ] {
            let said = text.parse::<Selector>().unwrap_err();
            assert!(said.contains(part), "{text}: {said}");
        }
    }
}
