//! The parts of a run, one after the other.

use std::thread;
use std::time::{Duration, Instant};

use super::super::{Error, Result, interrupt};
use super::act::perform;
use super::asking::Asking;
use super::attempt::{Found, attempt};
use super::check::{Check, Outcome};
use super::diagnosis;
use super::report::{Climbed, Finding, Moment, Phase, Report};
use super::signal::Signal;
use super::stage::Stage;
use super::step::Step;
use super::{Observer, Scenario, ScenarioError};
use crate::diagnose::{self, Diagnosis, Rung, to_look};
use crate::output::diagnosis::DiagnosisRecord;

/// How long an answer may take in a network that works.
const ANSWER: Duration = Duration::from_secs(1);
/// The least that must pass before there is no answer.
const SILENCE: Duration = Duration::from_millis(400);
/// No answer is waited for longer.
const LONGEST_SILENCE: Duration = Duration::from_secs(4);
/// An answer that takes so many times as long as it took in health is none.
const SILENCE_PER_ANSWER: u32 = 20;
/// A symptom that does not show at once is given so many chances: what is broken may take a moment to be felt.
const CHANCES: usize = 3;
/// How long signals are waited for when there is no symptom: then they will hardly come.
const WITHOUT_SYMPTOM: Duration = Duration::from_millis(300);
/// A signal that has not come by then is given another occasion.
const AGAIN: Duration = Duration::from_millis(1500);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A scenario being played.
pub(super) struct Play<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) stage: &'a Stage,
    pub(super) observer: &'a mut Observer,
    pub(super) patience: Duration,
    pub(super) tell: &'a mut dyn FnMut(&Moment),
    pub(super) report: &'a mut Report,
}

impl Play<'_> {
    /// From healthy to healthy.
    pub(super) fn play(&mut self, leave_out_break: bool) -> std::result::Result<(), ScenarioError> {
        let scenario = self.scenario;
        let explain = &scenario.explain;
        if !scenario.setup.is_empty() {
            let findings = perform_all(self.stage, &scenario.setup)?;
            self.note(Phase::Setup, "", findings);
        }
        let (findings, slowest) = self.all_healthy()?;
        self.report.healthy_before = self.note(Phase::Healthy, &explain.healthy, findings);
        if !self.report.healthy_before {
            // What was never healthy cannot be broken.
            return Ok(());
        }
        if !leave_out_break {
            let findings = perform_all(self.stage, &scenario.breaks)?;
            self.note(Phase::Break, &explain.r#break, findings);
        }
        self.observer.forget(self.patience)?;
        let before = self.counters()?;
        let silence = (slowest * SILENCE_PER_ANSWER).clamp(SILENCE, LONGEST_SILENCE);
        let findings = scenario.symptoms.iter().map(|check| self.symptom(check, silence)).collect::<Result<_>>()?;
        self.report.symptom_seen = self.note(Phase::Symptom, &explain.symptom, findings);
        let findings = self.signals(&before, silence)?;
        self.report.signal_seen = self.note(Phase::Signal, &explain.signal, findings);
        if let Some(asking) = &scenario.asking {
            let moment = self.diagnose(asking)?;
            self.report.diagnosis_right = Some(self.add(moment));
        }
        let findings = perform_all(self.stage, &scenario.fixes)?;
        self.note(Phase::Fix, &explain.fix, findings);
        let (findings, _) = self.all_healthy()?;
        self.report.healed = self.note(Phase::Healed, "", findings);
        Ok(())
    }

    fn note(&mut self, phase: Phase, explain: &str, findings: Vec<Finding>) -> bool {
        self.add(Moment { phase, explain: explain.to_owned(), steps: Vec::new(), findings })
    }

    fn add(&mut self, moment: Moment) -> bool {
        (self.tell)(&moment);
        let ok = moment.is_ok();
        self.report.moments.push(moment);
        ok
    }

    /// Tries each check until it works. Also tells how long the slowest took.
    fn all_healthy(&self) -> Result<(Vec<Finding>, Duration)> {
        let mut slowest = Duration::ZERO;
        let mut findings = Vec::new();
        for check in &self.scenario.healthy {
            let start = Instant::now();
            let found = loop {
                let found = attempt(self.stage, check, ANSWER.max(self.patience / 6))?;
                if found.outcome == Outcome::Answered || start.elapsed() > self.patience {
                    break found;
                }
                thread::sleep(PAUSE);
            };
            slowest = slowest.max(found.took);
            findings.push(self.finding(check, &found));
        }
        Ok((findings, slowest))
    }

    fn symptom(&self, check: &Check, silence: Duration) -> Result<Finding> {
        let mut found = attempt(self.stage, check, silence)?;
        for _ in 1..CHANCES {
            if check.expect.contains(&found.outcome) {
                break;
            }
            thread::sleep(silence / 4);
            found = attempt(self.stage, check, silence)?;
        }
        Ok(self.finding(check, &found))
    }

    fn finding(&self, check: &Check, found: &Found) -> Finding {
        let ok = check.expect.contains(&found.outcome);
        let mut text = format!("{check} {}", found.outcome);
        if found.outcome == Outcome::Answered {
            text += &format!(" ({:.1} ms)", found.took.as_secs_f64() * 1000.0);
        }
        if let Some(detail) = found.detail.as_ref().filter(|_| !ok) {
            text += &format!(": {detail}");
        }
        if !ok && check.expect != [Outcome::Answered] {
            let expected = check.expect.iter().map(ToString::to_string).collect::<Vec<_>>().join(", or ");
            text += &format!("; expected: {expected}");
        }
        Finding { ok, text, commands: vec![check.attempt.typed(&self.stage.typed(&check.from))] }
    }

    /// What `netobs diagnose` makes of it, which should be the fault.
    fn diagnose(&mut self, asking: &Asking) -> Result<Moment> {
        let diagnosis = diagnosis::diagnose(self.stage, asking, &mut self.observer.watcher)?;
        let typed = asking.typed(&self.stage.lab);
        let fault = &self.scenario.fault;
        let moment = |steps, ok, text| {
            let findings = vec![Finding { ok, text, commands: vec![typed] }];
            Moment { phase: Phase::Diagnosis, explain: String::new(), steps, findings }
        };
        let diagnosis = match diagnosis {
            Ok(diagnosis) => diagnosis,
            Err(refused) => return Ok(moment(Vec::new(), false, refused.to_string())),
        };
        self.report.diagnosis = serde_json::to_value(DiagnosisRecord::of(&diagnosis)).ok();
        let right = diagnosis.cause == Some(fault);
        let text = match diagnosis.cause {
            _ if right => format!("{fault}: {}", diagnosis.sentence),
            Some(cause) => format!("NOT {fault} but {cause}: {}", diagnosis.sentence),
            None => format!("NOT {fault}: {}", diagnosis.sentence),
        };
        Ok(moment(ladder(&diagnosis), right, text))
    }

    /// What each counter among the signals shows now. One that the kernel does not have shows nothing.
    fn counters(&self) -> Result<Vec<Option<u64>>> {
        self.scenario.signals.iter().map(|signal| self.counter(signal)).collect()
    }

    fn counter(&self, signal: &Signal) -> Result<Option<u64>> {
        let Signal::Counter { node, counter, .. } = signal else { return Ok(None) };
        let netns = self.stage.netns(node)?;
        match counter.read(self.stage.node(node)?, &netns) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { what: format!("{node}: read {counter}"), source }),
        }
    }

    /// Waits for the signals, and gives the fault further occasions to show them.
    fn signals(
        &mut self,
        before: &[Option<u64>],
        silence: Duration,
    ) -> std::result::Result<Vec<Finding>, ScenarioError> {
        let start = Instant::now();
        let mut occasion = start;
        let patience = if self.report.symptom_seen { self.patience } else { WITHOUT_SYMPTOM };
        let scenario = self.scenario;
        let absent = |signal: &Signal| matches!(signal, Signal::Unseen(_));
        loop {
            let mut all = true;
            for (signal, before) in scenario.signals.iter().zip(before) {
                all &= absent(signal) || self.shows(signal, *before)?.0;
            }
            if all || start.elapsed() > patience {
                break;
            }
            self.observer.listen(PAUSE)?;
            if self.report.symptom_seen && occasion.elapsed() > AGAIN {
                for check in &scenario.symptoms {
                    attempt(self.stage, check, silence)?;
                }
                occasion = Instant::now();
            }
        }
        // That something was not seen can be said once all was told.
        let needed = scenario.signals.iter().any(absent) || !self.report.symptom_seen;
        let complete = !needed || self.observer.catch_up(self.patience)?;
        let mut findings = Vec::new();
        for (signal, before) in scenario.signals.iter().zip(before) {
            let (mut ok, mut shown) = self.shows(signal, *before)?;
            if absent(signal) && ok && !complete {
                (ok, shown) = (false, " (the observer has too much to do to say so)".to_owned());
            }
            let text = if ok { format!("{signal}{shown}") } else { format!("NOT as expected: {signal}{shown}") };
            findings.push(Finding { ok, text, commands: vec![signal.typed(&self.stage.typed(signal.node()))] });
        }
        if findings.iter().any(|finding| !finding.ok) {
            let prefix = self.stage.lab.namespace("");
            for drop in self.observer.all_drops(&prefix) {
                findings.push(Finding { ok: true, text: format!("(seen: {drop})"), commands: Vec::new() });
            }
        }
        Ok(findings)
    }

    /// Whether a signal shows now, and what there is to add.
    fn shows(&self, signal: &Signal, before: Option<u64>) -> Result<(bool, String)> {
        let netns = self.stage.lab.namespace(signal.node());
        Ok(match signal {
            Signal::Drop(drop) => {
                let found = self.observer.drops(drop, &netns);
                (found >= drop.count, if drop.count > 1 { format!(" (seen {found})") } else { String::new() })
            }
            Signal::Seen(place) => (self.observer.saw(place, &netns), String::new()),
            Signal::Unseen(place) => (!self.observer.saw(place, &netns), String::new()),
            Signal::Counter { rises, .. } => match (before, self.counter(signal)?) {
                (Some(before), Some(now)) => {
                    let risen = now.saturating_sub(before);
                    (risen >= *rises, format!(" (+{risen})"))
                }
                _ => (false, " (this kernel has no such counter)".to_owned()),
            },
        })
    }
}

/// Rung by rung, each with the command that shows a person the same.
fn ladder(diagnosis: &Diagnosis) -> Vec<Climbed> {
    let mut steps = diagnosis.steps.clone();
    steps.sort_by_key(|step| step.step);
    let ends: Vec<bool> = (1..=steps.len()).map(|next| rung(&steps, next) != rung(&steps, next - 1)).collect();
    let climbed = |(step, is_end): (diagnose::Step, bool)| {
        let command = if is_end { to_look(step.step, diagnosis) } else { None };
        Climbed { step, command }
    };
    steps.into_iter().zip(ends).map(climbed).collect()
}

fn rung(steps: &[diagnose::Step], index: usize) -> Option<Rung> {
    steps.get(index).map(|step| step.step)
}

/// Performs steps in order. One that fails is a finding, and the rest goes on.
pub(super) fn perform_all(stage: &Stage, steps: &[Step]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for step in steps {
        interrupt::check()?;
        let commands = step.action.typed(&stage.typed(&step.node));
        findings.push(match perform(stage, step) {
            Ok(()) => Finding { ok: true, text: format!("{}: done", step.node), commands },
            Err(error @ Error::Interrupted) => return Err(error),
            Err(error) => Finding { ok: false, text: error.to_string(), commands },
        });
    }
    Ok(findings)
}
