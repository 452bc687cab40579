//! Playing a scenario: healthy, broken, noticed, seen, mended, healthy again.

use std::time::{Duration, Instant};

use super::super::{LabName, Result, Topology, build, teardown};
use super::attempt::attempt;
use super::check::{Check, Outcome};
use super::play::Play;
use super::report::{Finding, Moment, Phase, Report, Verdict};
use super::stage::Stage;
use super::{Observer, Scenario, ScenarioError, needs};

/// How a scenario is played.
#[derive(Clone, Debug)]
pub struct Options {
    /// The lab that is made for it.
    pub lab: LabName,
    /// Leave the lab up.
    pub keep: bool,
    /// Break nothing: then the scenario must fail, or it proves nothing.
    pub leave_out_break: bool,
}

/// The least that is waited for what must come.
const PATIENCE: Duration = Duration::from_secs(6);
/// A machine that takes long to build a lab takes long for all else.
const PATIENCE_PER_BUILDING: u32 = 20;
/// How long an answer is waited for that nobody judges.
const TRYING: Duration = Duration::from_millis(500);

/// Plays a scenario in a lab of its own, and removes the lab. `tell` gets each part as it ends.
///
/// # Errors
/// It could not be played. The lab is removed all the same.
pub fn run(
    scenario: &Scenario,
    topology: &Topology,
    options: &Options,
    observer: &mut Observer,
    tell: &mut dyn FnMut(&Moment),
) -> std::result::Result<Verdict, ScenarioError> {
    let start = Instant::now();
    if let Some(why) = needs::missing_from_machine(scenario) {
        return Ok(Verdict::Unsupported { name: scenario.name.clone(), why });
    }
    let built = build::up(&options.lab, topology.clone())?;
    if built.already {
        return Err(ScenarioError::InUse(options.lab.clone()));
    }
    let mut standing = Standing { lab: Some(&options.lab), keep: options.keep };
    let stage = Stage { lab: options.lab.clone(), state: built.state };
    if let Some(why) = needs::missing_from_lab(scenario, &stage)? {
        return Ok(Verdict::Unsupported { name: scenario.name.clone(), why });
    }
    let patience = PATIENCE.max(built.took * PATIENCE_PER_BUILDING);
    let mut report = Report {
        name: scenario.name.clone(),
        lab: options.lab.to_string(),
        healthy_before: false,
        symptom_seen: false,
        signal_seen: false,
        diagnosis: None,
        diagnosis_right: None,
        healed: false,
        passed: false,
        seconds: 0.0,
        moments: Vec::new(),
    };
    let mut play = Play { scenario, stage: &stage, observer, patience, tell, report: &mut report };
    play.play(options.leave_out_break)?;
    standing.strike()?;
    report.passed = report.healthy_before && report.symptom_seen && report.signal_seen && report.healed;
    report.passed &= report.diagnosis_right != Some(false);
    // A step that failed is a defect, even if all the rest is as expected.
    report.passed &= report.moments.iter().filter(|moment| is_done(moment.phase)).all(Moment::is_ok);
    report.seconds = (start.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    Ok(Verdict::Played(Box::new(report)))
}

/// Whether steps are performed in it.
fn is_done(phase: Phase) -> bool {
    match phase {
        Phase::Setup | Phase::Break | Phase::Fix => true,
        Phase::Healthy | Phase::Symptom | Phase::Signal | Phase::Diagnosis | Phase::Healed | Phase::Try => false,
    }
}

/// The lab, which is removed when this goes out of scope.
struct Standing<'a> {
    lab: Option<&'a LabName>,
    keep: bool,
}

impl Standing<'_> {
    fn strike(&mut self) -> std::result::Result<(), ScenarioError> {
        match self.lab.take() {
            Some(lab) if !self.keep => teardown::down(lab).map(drop).map_err(ScenarioError::Lab),
            Some(_) | None => Ok(()),
        }
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        // Only after an error, which says more than a second one could.
        let _ = self.strike();
    }
}

/// Which part of a scenario is performed by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// What the topology lacks, and the break.
    Break,
    /// The checks of health: whoever would notice tries once.
    Try,
    /// The fix.
    Fix,
}

/// Breaks a lab that is up, tries it or mends it, and leaves the rest to whoever looks at it.
///
/// # Errors
/// There is no such lab, or it is of another topology.
pub fn by_hand(scenario: &Scenario, lab: &LabName, hand: Hand) -> std::result::Result<Vec<Moment>, ScenarioError> {
    let stage = Stage::of(lab)?;
    let found = &stage.state.topology.name;
    if *found != scenario.topology {
        let (lab, needed, found) = (lab.clone(), scenario.topology.clone(), found.clone());
        return Err(ScenarioError::OtherTopology { lab, needed, found });
    }
    let (setup, steps, phase, explain) = match hand {
        Hand::Break => (scenario.setup.as_slice(), &scenario.breaks, Phase::Break, &scenario.explain.r#break),
        Hand::Fix => (&[][..], &scenario.fixes, Phase::Fix, &scenario.explain.fix),
        Hand::Try => return Ok(vec![tried(scenario, &stage)?]),
    };
    let mut moments = Vec::new();
    if !setup.is_empty() {
        moments.push(Moment {
            phase: Phase::Setup,
            explain: String::new(),
            steps: Vec::new(),
            findings: super::play::perform_all(&stage, setup)?,
        });
    }
    let findings = super::play::perform_all(&stage, steps)?;
    moments.push(Moment { phase, explain: explain.clone(), steps: Vec::new(), findings });
    Ok(moments)
}

/// What works in health, once.
fn tried(scenario: &Scenario, stage: &Stage) -> Result<Moment> {
    let try_one = |check: &Check| -> Result<Finding> {
        let found = attempt(stage, check, TRYING)?;
        let text = format!("{check} {}", found.outcome);
        let commands = vec![check.attempt.typed(&stage.typed(&check.from))];
        Ok(Finding { ok: found.outcome == Outcome::Answered, text, commands })
    };
    let findings = scenario.healthy.iter().map(try_one).collect::<Result<_>>()?;
    Ok(Moment { phase: Phase::Try, explain: String::new(), steps: Vec::new(), findings })
}
