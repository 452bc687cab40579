//! Why a packet does not get there, in one true sentence.
//!
//! The ladder is climbed in this order:
//!
//! 1. `way` takes the asked packet through the machine as it is: in each namespace it asks the kernel which route it
//!    would take, follows the veth to its other end, the bridge to its port, and at each hook asks the rule set
//!    (`gate`) what it would make of the packet. Where something is broken it is noted as a [`Finding`], mended in
//!    thought, and the walk goes on: so several faults are found at once, each for itself. Then the way back.
//! 2. `probe` sends the packet for real from inside, and watches it with netobs' own hooks. An answer refutes every
//!    finding that says there can be none; a drop proves one, or shows what no state told.
//! 3. `verdict` puts both together: last hop that worked, first that did not, cause, evidence, fix.
//!
//! A finding is a fact about the machine, never a guess. What remains unexplained is `unknown`, with what was ruled out
//! and the last sighting.

pub mod along;
mod containers;
mod diagnosis;
pub mod end;
pub mod endpoint;
mod finding;
pub mod gate;
mod look;
pub mod machine;
pub mod probe;
mod question;
mod target;
pub mod typed;
mod verdict;
pub mod way;

use machine::Machine;
use way::{End, Stage};

pub use diagnosis::{Diagnosis, Place, Sighting, Step, Trail};
pub use finding::{Culprit, Finding, Force, Rung};
pub use look::to_look;
pub use probe::Watcher;
pub use question::{Endpoint, Protocol, Question};
pub use target::{Target, TargetError, Whom};

/// Why a packet does not get there, or that it does. Without a watcher nothing is seen on the way, only what comes back.
/// `tell` is told what is waited for, whenever that takes longer than a person expects.
pub fn diagnose(
    machine: &mut Machine,
    mut watcher: Option<&mut Watcher>,
    question: &Question,
    tell: &mut dyn FnMut(&str),
) -> Diagnosis {
    // What an earlier diagnosis read may have changed.
    machine.forget();
    let walked = way::walk(machine, question);
    let along = along::look(machine, &walked, question);
    let known = verdict::Known {
        findings: along::together(walked.findings, along.findings),
        checked: [walked.checked, along.checked].concat(),
        unknown: [walked.unknown, along.unknown].concat(),
        out: devices(&walked.out),
        back: devices(&walked.back),
    };
    if let Some(watcher) = watcher.as_deref_mut()
        && watcher.ready().is_ok()
    {
        for stage in walked.out.iter().chain(&walked.back) {
            watcher.cover(machine.handle(stage.netns));
        }
    }
    let outlook = probe::Outlook {
        is_near: matches!(walked.end, End::Arrives(_)),
        is_explained: known.findings.iter().any(|finding| finding.force == Force::Stops),
        is_direct: walked.out.iter().all(|stage| stage.tuple_in.dst == stage.tuple_out.dst),
        on_the_way: walked.out.iter().chain(&walked.back).map(|stage| stage.netns).collect(),
    };
    let netns = machine.name(question.from.netns);
    let observation = match machine.handle(question.from.netns) {
        Some(netns) => probe::observe(netns, watcher, question, outlook, tell),
        None => probe::Observation { unobserved: Some(format!("{netns} cannot be entered")), ..Default::default() },
    };
    verdict::verdict(question, &netns, known, &observation)
}

/// The devices of a way, in order. What goes in circles comes by each of them again and again: twice is enough.
fn devices(stages: &[Stage]) -> Vec<(String, String)> {
    let mut devices: Vec<(String, String)> = Vec::new();
    for stage in stages {
        for device in stage.devices() {
            let here = (stage.name.clone(), device.name.clone());
            if devices.iter().filter(|known| **known == here).count() < 2 {
                devices.push(here);
            }
        }
    }
    devices
}
