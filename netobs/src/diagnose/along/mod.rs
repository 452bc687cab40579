//! What is looked at once the way is known: sizes, connection tables, who listens at its end, memory.

mod arrival;
mod errors;
mod mtu;
mod room;
mod rules;

use super::machine::Machine;
use super::way::Way;
use super::{Finding, Question, Step};

/// What was found along the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Along {
    /// What is wrong, beside what the walk has found: [`together`].
    pub findings: Vec<Finding>,
    /// What was looked at.
    pub checked: Vec<Step>,
    /// What could not be looked at, a line each.
    pub unknown: Vec<String>,
}

/// Looks along a way that was walked. Nothing is sent, nothing is changed.
pub fn look(machine: &mut Machine, way: &Way, question: &Question) -> Along {
    let mut along = Along::default();
    rules::passed(machine, way, &mut along);
    room::tables(machine, way, &mut along);
    room::clashes(machine, way, &mut along);
    mtu::sizes(machine, way, question.protocol, &mut along);
    arrival::listener(machine, way, question, &mut along);
    room::memory(way, question, &mut along);
    along
}

/// What the walk itself had found, and what was found then. What was confirmed stands in the place of what was suspected.
pub fn together(mut walked: Vec<Finding>, then: Vec<Finding>) -> Vec<Finding> {
    for finding in then {
        let same = |other: &&mut Finding| other.cause == finding.cause && other.culprit == finding.culprit;
        match walked.iter_mut().find(same) {
            Some(suspected) => *suspected = finding,
            None => walked.push(finding),
        }
    }
    walked
}

impl Along {
    /// Notes a fault, and that it was looked for.
    fn found(&mut self, finding: Finding) {
        let detail = finding.evidence.first().unwrap_or(&finding.sentence).clone();
        self.checked.push(Step { step: finding.rung, ok: Some(false), detail });
        self.findings.push(finding);
    }

    fn fine(&mut self, step: super::Rung, detail: String) {
        self.checked.push(Step { step, ok: Some(true), detail });
    }

    fn not_seen(&mut self, step: super::Rung, detail: String) {
        self.unknown.push(detail.clone());
        self.checked.push(Step { step, ok: None, detail });
    }
}
