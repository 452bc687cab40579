//! Room for a new flow, and for the processes at both ends.

use super::Along;
use crate::conntrack::{Counter, Socket};
use crate::diagnose::end;
use crate::diagnose::gate;
use crate::diagnose::machine::Machine;
use crate::diagnose::way::{End, Way};
use crate::diagnose::{Force, Question, Rung};

/// The connection table of each namespace on the way there.
pub(super) fn tables(machine: &mut Machine, way: &Way, along: &mut Along) {
    let mut seen = Vec::new();
    for stage in &way.out {
        if seen.contains(&stage.netns) {
            continue;
        }
        seen.push(stage.netns);
        let Some(handle) = machine.handle(stage.netns) else { continue };
        match gate::table(&stage.name, handle) {
            Ok((Some(finding), _)) => along.found(finding),
            Ok((None, level)) => along.fine(Rung::Conntrack, level),
            Err(error) => {
                along
                    .not_seen(Rung::Conntrack, format!("the connection table of {} was not read: {error}", stage.name));
            }
        }
    }
}

/// A rule that gives all flows one port is at fault only once two flows wanted it.
pub(super) fn clashes(machine: &mut Machine, way: &Way, along: &mut Along) {
    for finding in way.findings.iter().filter(|finding| finding.cause == gate::CLASH) {
        let Some(name) = &finding.culprit.netns else { continue };
        let Some(stage) = way.out.iter().find(|stage| stage.name == *name) else { continue };
        let failed = machine
            .handle(stage.netns)
            .and_then(|handle| Socket::open_in(handle).ok()?.statistics().ok())
            .and_then(|statistics| statistics.totals().get(Counter::InsertFailed));
        if let Some(failed) = failed.filter(|failed| *failed > 0) {
            let mut finding = finding.clone();
            finding.force = Force::Harms;
            finding.evidence.push(format!("conntrack -S in {name}, since it exists: insert_failed {failed}"));
            along.found(finding);
        }
    }
}

/// The memory of the processes at both ends.
pub(super) fn memory(way: &Way, question: &Question, along: &mut Along) {
    let from = &question.from;
    let mut ends = vec![(from.name.clone(), from.netns, from.pid)];
    if let (End::Arrives(netns), Some(last)) = (&way.end, way.out.last())
        && *netns != from.netns
    {
        ends.push((last.name.clone(), *netns, None));
    }
    for (name, netns, pid) in ends {
        if let Some(finding) = pid.or_else(|| netns.first_process()).and_then(|pid| end::memory(&name, pid)) {
            along.found(finding);
        }
    }
}
