//! Faults as their users meet them: the real binary, on the running kernel.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod files;
mod hand;
mod playing;

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;

use serde::Deserialize;

use common::{Answer, netobs, run, skip};

/// A line of `netobs lab run --format json`.
#[derive(Clone, Debug, Deserialize)]
struct Played {
    name: String,
    healthy_before: bool,
    symptom_seen: bool,
    signal_seen: bool,
    diagnosis: serde_json::Value,
    diagnosis_right: Option<bool>,
    healed: bool,
    passed: bool,
    moments: Vec<Moment>,
}

#[derive(Clone, Debug, Deserialize)]
struct Moment {
    phase: String,
    findings: Vec<Finding>,
}

#[derive(Clone, Debug, Deserialize)]
struct Finding {
    ok: bool,
    text: String,
}

impl Played {
    /// What was not as the scenario says, and what was seen in place of it.
    fn misses(&self) -> Vec<String> {
        let all = self.moments.iter().flat_map(|moment| moment.findings.iter().map(move |finding| (moment, finding)));
        let told = all.filter(|(_, finding)| !finding.ok || finding.text.starts_with('('));
        told.map(|(moment, finding)| format!("{}, {}: {}", self.name, moment.phase, finding.text)).collect()
    }
}

#[derive(Debug, Deserialize)]
struct Summary {
    passed: usize,
    failed: usize,
    unsupported: Vec<Unsupported>,
}

#[derive(Debug, Deserialize)]
struct Unsupported {
    name: String,
    why: String,
}

/// What a run printed.
struct Outcome {
    answer: Answer,
    played: Vec<Played>,
    summary: Summary,
}

/// `netobs lab run … --format json` to its end.
#[track_caller]
fn play(arguments: &[&str]) -> Outcome {
    let answer = run(netobs(), &[&["lab", "run", "--format", "json"], arguments].concat());
    let mut lines: BTreeMap<String, Vec<serde_json::Value>> = BTreeMap::new();
    for line in answer.stdout.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let kind = value.get("type").and_then(|kind| kind.as_str()).unwrap();
        lines.entry(kind.to_owned()).or_default().push(value);
    }
    let played = lines.remove("scenario").unwrap_or_default();
    let played = played.into_iter().map(|line| serde_json::from_value(line).unwrap()).collect();
    let summary = lines.remove("summary").and_then(|mut lines| lines.pop());
    assert!(summary.is_some(), "no summary: {answer:#?}");
    Outcome { answer, played, summary: serde_json::from_value(summary.unwrap()).unwrap() }
}

/// The kernel must allow observing, or there is nothing to test.
fn can_observe(test: &str) -> bool {
    if !common::can_make_labs(test, &["ip"]) {
        return false;
    }
    let answer = run(netobs(), &["trace", "--duration", "1ms", "icmp"]);
    if answer.status != 0 {
        skip(test, answer.stderr.trim());
    }
    answer.status == 0
}
