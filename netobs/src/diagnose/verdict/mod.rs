//! What was seen, put into one answer.

mod drops;
mod last;

use super::probe::{Attempt, Ending, Observation};
use super::{Culprit, Diagnosis, Finding, Force, Question, Trail};

/// Puts the answer together.
pub(super) fn verdict(question: &Question, observation: &Observation) -> Diagnosis {
    let mut findings = drops::findings(observation);
    if observation.is_answered() {
        findings.retain(|finding| finding.force != Force::Stops);
    }
    let last_good = last::last_good(observation);
    let mut diagnosis = Diagnosis {
        question: question.clone(),
        healthy: false,
        cause: None,
        sentence: String::new(),
        last_good,
        culprit: None,
        steps: Vec::new(),
        evidence: observation.attempts.iter().map(sent).collect(),
        fix: Vec::new(),
        hints: Vec::new(),
        also: Vec::new(),
        out: Trail::default(),
        back: Trail::default(),
        round_trip: observation.round_trip(),
        unobserved: observation.unobserved.clone(),
    };
    findings.sort_by_key(|finding| finding.rung);
    let mut findings = findings.into_iter();
    match findings.next() {
        Some(Finding { cause, sentence, culprit, evidence, fix, hints, .. }) => {
            diagnosis.cause = Some(cause);
            diagnosis.sentence = sentence;
            diagnosis.culprit = Some(culprit);
            diagnosis.evidence.splice(0..0, evidence);
            diagnosis.fix = fix;
            diagnosis.hints = hints;
            diagnosis.also = findings.collect();
        }
        None if observation.is_answered() => {
            diagnosis.healthy = true;
            diagnosis.sentence = format!("{} reaches {}, and the answer comes back.", question.from.name, question.to);
        }
        None => unknown(question, &mut diagnosis),
    }
    diagnosis
}

fn unknown(question: &Question, diagnosis: &mut Diagnosis) {
    let seen = diagnosis.last_good.as_ref().map_or("it was seen nowhere".to_owned(), |last| {
        let part = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
        format!("it was last seen in {} on {} at {}", part(&last.netns), part(&last.device), part(&last.hook))
    });
    diagnosis.cause = Some(Diagnosis::UNKNOWN);
    diagnosis.culprit = None::<Culprit>;
    diagnosis.sentence = format!(
        "{} gets no answer from {}, and what was seen does not say why: {seen}.",
        question.from.name, question.to
    );
}

/// `an echo request of 84 bytes: no answer within 0.5 s`
fn sent(attempt: &Attempt) -> String {
    let what = attempt.what();
    let took = attempt.took.as_secs_f64();
    match &attempt.ending {
        Ending::Answered => format!("{what}: answered after {:.3} ms", took * 1000.0),
        Ending::Silence => format!("{what}: no answer within {took:.1} s"),
        Ending::Error { errno, by: None, .. } => format!("{what}: {}", errno.desc()),
        Ending::Error { errno, by: Some(by), .. } => format!("{what}: {by} answers: {}", errno.desc()),
        Ending::NotSent { errno } => format!("{what}: could not be sent: {}", errno.desc()),
    }
}
