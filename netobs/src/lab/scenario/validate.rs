//! What a scenario must be beyond its grammar.

use super::check::{Check, Outcome};
use super::problem::Problem;
use super::signal::Signal;

/// An entry and the line it begins on.
#[derive(Clone, Debug)]
pub(super) struct Lined<T> {
    pub(super) line: usize,
    pub(super) value: T,
}

/// Everything that would make the scenario prove nothing.
pub(super) fn validate(
    name: Option<&str>,
    healthy: &[Lined<Check>],
    symptoms: &[Lined<Check>],
    signals: &[Lined<Signal>],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |line, reason: String| problems.push(Problem { line, reason });
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if let Some(name) = name
        && !(name.bytes().all(plain) && !name.starts_with('-') && (1..=64).contains(&name.len()))
    {
        problem(None, format!("`{name}` cannot be a scenario's name: lower-case letters, digits and `-`"));
    }
    for check in healthy {
        if check.value.expect != [Outcome::Answered] {
            problem(Some(check.line), "what is healthy is answered: `expect` is for symptoms".to_owned());
        }
    }
    let shows = |check: &Lined<Check>| !check.value.expect.contains(&Outcome::Answered);
    if !symptoms.is_empty() && !symptoms.iter().any(shows) {
        let reason = "every symptom expects an answer, as if nothing were broken: give one an `expect`";
        problem(symptoms.first().map(|check| check.line), reason.to_owned());
    }
    if !signals.is_empty() && signals.iter().all(|signal| matches!(signal.value, Signal::Unseen(_))) {
        let reason = "that nothing is seen proves nothing by itself: add a `drop`, a `counter` or a `seen`";
        problem(signals.first().map(|signal| signal.line), reason.to_owned());
    }
    for signal in signals {
        if let Signal::Drop(drop) = &signal.value
            && drop.reason.is_empty()
        {
            problem(Some(signal.line), "`reason` lists no reason".to_owned());
        }
    }
    problems
}
