//! What a look at the machine found and what was seen of the packet, put into one answer.
//!
//! An answer that came back refutes whatever was said to stop the packet. Drops prove findings, or are findings of their
//! own ([`drops`]). Of several faults the one that stops the packet comes first, and of several of those the lowest on
//! the ladder. Where there is neither an answer nor a fault, the verdict is `unknown`.

mod drops;
mod errors;
mod known;
mod last;
mod proof;
mod shown;
mod trail;
mod words;

use super::probe::{Ending, Observation};
use super::{Diagnosis, Finding, Force, Question, Step};

pub(super) use known::Known;

/// Puts the answer together. `netns` is the sender's namespace by its name.
pub(super) fn verdict(question: &Question, netns: &str, known: Known, observation: &Observation) -> Diagnosis {
    let Known { mut findings, checked: mut steps, unknown, out, back } = known;
    let unexplained = drops::account(observation, &mut findings);
    let mut refuted = Vec::new();
    let mut doubtful = Vec::new();
    if observation.is_answered() {
        refuted.extend(findings.extract_if(.., |finding| finding.force == Force::Stops));
        findings.retain(|finding| finding.force == Force::Harms);
        findings.extend(words::lost_when_large(question, observation, &findings));
    } else {
        tell_by_error(question, netns, observation, &mut findings);
        let is_stopped = findings.iter().any(|finding| finding.force == Force::Stops);
        if is_stopped {
            doubtful.extend(findings.extract_if(.., |finding| finding.force == Force::MayStop));
        } else if observation.is_taken(question) {
            // A datagram that was taken got there, whether or not its taker answers.
            findings.retain(|finding| finding.force == Force::Harms);
        }
    }
    order(&mut findings);
    for finding in &findings {
        note(&mut steps, finding);
    }
    withdraw(&mut steps, &refuted);
    let (out, back) = trail::trails(observation, &out, &back);
    let last_good = last::last_good(observation);
    let mut evidence: Vec<String> = observation.attempts.iter().map(words::attempt).collect();
    if !observation.is_answered() {
        evidence.extend(unexplained.iter().map(ToString::to_string));
    }
    evidence.extend(refuted.iter().map(words::refuted));
    evidence.extend(doubtful.iter().map(words::doubtful));
    if let Some(why) = &observation.unobserved {
        evidence.push(format!("nothing was watched on the way: {why}"));
    } else if observation.lost > 0 {
        evidence.push(format!("{} events were lost: what was not seen may have happened", observation.lost));
    }
    let mut diagnosis = Diagnosis {
        question: question.clone(),
        healthy: false,
        cause: None,
        sentence: String::new(),
        last_good,
        culprit: None,
        steps,
        evidence,
        fix: Vec::new(),
        hints: Vec::new(),
        also: Vec::new(),
        out,
        back,
        round_trip: observation.round_trip(),
        unobserved: observation.unobserved.clone(),
    };
    let mut findings = findings.into_iter();
    if let Some(first) = findings.next() {
        let Finding { cause, sentence, culprit, evidence, fix, hints, .. } = first;
        diagnosis.cause = Some(cause);
        diagnosis.sentence = sentence;
        diagnosis.culprit = Some(culprit);
        diagnosis.evidence.splice(0..0, evidence);
        diagnosis.fix = fix;
        diagnosis.hints = hints;
        diagnosis.also = findings.collect();
    } else if observation.is_answered() || observation.is_taken(question) {
        diagnosis.healthy = true;
        diagnosis.sentence = words::healthy(question, observation);
    } else {
        diagnosis.cause = Some(Diagnosis::UNKNOWN);
        diagnosis.sentence = words::unknown(question, observation, &unexplained, diagnosis.last_good.as_ref());
        diagnosis.evidence.extend(words::ruled_out(&diagnosis.steps));
        diagnosis.evidence.extend(unknown.iter().map(|line| format!("could not be told: {line}")));
    }
    diagnosis
}

/// What the sender was told proves what was found, or is all there is.
fn tell_by_error(question: &Question, netns: &str, observation: &Observation, findings: &mut Vec<Finding>) {
    let Some(attempt) = observation.attempts.first() else { return };
    if let Ending::NotSent { errno } | Ending::Error { errno, .. } = attempt.ending {
        proof::confirm(findings, errors::proves(errno));
    }
    if !findings.iter().any(|finding| finding.force == Force::Stops) {
        findings.extend(errors::finding(question, netns, observation));
    }
}

/// What stops the packet before what may, and that before what only harms; then by the ladder, and as the packet meets it.
fn order(findings: &mut [Finding]) {
    let weight = |force| match force {
        Force::Stops => 0,
        Force::MayStop => 1,
        Force::Harms => 2,
    };
    findings.sort_by_key(|finding| (weight(finding.force), finding.rung));
}

/// A finding is a step of the ladder that is not well.
fn note(steps: &mut Vec<Step>, finding: &Finding) {
    if !steps.iter().any(|step| step.step == finding.rung && step.ok == Some(false)) {
        let at = steps.iter().position(|step| step.step > finding.rung).unwrap_or(steps.len());
        steps.insert(at, Step { step: finding.rung, ok: Some(false), detail: finding.sentence.clone() });
    }
}

/// The answer came all the same: the steps that said it could not are open again.
fn withdraw(steps: &mut [Step], refuted: &[Finding]) {
    for step in steps.iter_mut().filter(|step| step.ok == Some(false)) {
        if refuted.iter().any(|finding| finding.rung == step.step) {
            step.ok = None;
            step.detail.push_str("; and yet the answer came");
        }
    }
}
