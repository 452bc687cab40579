//! What an iptables rule does to a packet.

use super::condition::holds;
use super::specification::Specification;
use super::target;
use crate::rules::judge::{Judged, Situation, Verdict};
use crate::rules::truth::Truth;

pub(in crate::rules) fn judge(rule: &Specification, situation: &Situation<'_>) -> Judged {
    let mut matches = Truth::Yes;
    let mut undecided = Vec::new();
    for condition in &rule.conditions {
        let truth = holds(condition, situation).negated_if(condition.negated);
        if truth == Truth::No {
            return Judged::no();
        }
        if truth == Truth::CannotTell {
            undecided.push(format!("`{}`", condition.shown()));
        }
        matches = matches.and(truth);
    }
    undecided.dedup();
    let (verdict, changes) = match &rule.target {
        Some(target) => target::verdict(target, situation),
        None => (Verdict::Continue, Vec::new()),
    };
    if verdict == Verdict::Anything {
        undecided.push(format!("`-j {}`", rule.target.as_ref().map_or("", |target| &target.name)));
    }
    Judged { matches, verdicts: vec![verdict], changes, undecided }
}
