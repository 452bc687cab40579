//! What a run found, moment by moment.

use serde::Serialize;

use crate::diagnose::Step;

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// What the topology lacks is added.
    Setup,
    /// All works.
    Healthy,
    /// It is broken.
    Break,
    /// Somebody notices.
    Symptom,
    /// The kernel shows it.
    Signal,
    /// `netobs diagnose` is asked.
    Diagnosis,
    /// It is mended.
    Fix,
    /// All works again.
    Healed,
    /// Whoever would notice has tried, and nobody judges.
    Try,
}

/// One thing that was done or looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it is as the scenario says.
    pub ok: bool,
    /// What came of it.
    pub text: String,
    /// What a person would type to do the same.
    pub commands: Vec<String>,
}

/// A phase, and what was found in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// Which.
    pub phase: Phase,
    /// What a learner is told.
    pub explain: String,
    /// The rungs of the ladder that was climbed.
    pub steps: Vec<Climbed>,
    /// In order.
    pub findings: Vec<Finding>,
}

/// A rung of the ladder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Climbed {
    /// What was found there.
    #[serde(flatten)]
    pub step: Step,
    /// What a person would type to look for himself.
    pub command: Option<String>,
}

impl Moment {
    /// Whether all is as the scenario says.
    pub fn is_ok(&self) -> bool {
        self.findings.iter().all(|finding| finding.ok)
    }
}

/// A scenario that was played.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario.
    pub name: String,
    /// The lab it was played in.
    pub lab: String,
    /// All worked before.
    pub healthy_before: bool,
    /// The symptom showed.
    pub symptom_seen: bool,
    /// The observer saw what the kernel shows of it.
    pub signal_seen: bool,
    /// What `netobs diagnose` said; `None` if nobody asked it.
    pub diagnosis: Option<serde_json::Value>,
    /// Whether that was the fault; `None` if nobody asked.
    pub diagnosis_right: Option<bool>,
    /// All worked again after the fix.
    pub healed: bool,
    /// All of the above.
    pub passed: bool,
    /// How long it took, building and removing the lab included.
    pub seconds: f64,
    /// What was done and found.
    pub moments: Vec<Moment>,
}

/// What became of a scenario.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It was played.
    Played(Box<Report>),
    /// This machine cannot play it.
    Unsupported {
        /// The scenario.
        name: String,
        /// What is missing.
        why: String,
    },
}
