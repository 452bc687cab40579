//! A rule that rewrites too much alike.

use crate::diagnose::typed::in_netns;
use crate::diagnose::{Culprit, Finding, Force, Protocol, Rung};
use crate::rules::{Rewrite, Side};

/// The cause.
pub const CLASH: &str = "snat-port-clash";

/// The finding about a rule that gives every flow the same source port: of two to the same server, one has to die.
/// Whether two ever met is not looked at here.
pub(super) fn clash(netns: &str, rewrite: &Rewrite, protocol: Protocol) -> Option<Finding> {
    let ports = rewrite.ports.as_ref().filter(|ports| ports.start() == ports.end())?;
    if rewrite.side != Side::Source || protocol == Protocol::Icmp {
        return None;
    }
    let (port, rule) = (ports.start(), &rewrite.rule);
    Some(Finding {
        cause: CLASH,
        rung: Rung::Nat,
        force: Force::MayStop,
        sentence: format!(
            "A rule in {netns} gives every flow the one source port {port}: of all that go to the same server only one \
             works at a time, and the first packets of the others are dropped."
        ),
        culprit: Culprit { netns: Some(netns.to_owned()), what: rule.to_string() },
        evidence: vec![format!("the rule in {netns}: {rule}")],
        fix: vec![in_netns(netns, &super::drops::removal(rule))],
        hints: vec![
            "a range of ports, or none at all, lets each flow have one of its own".to_owned(),
            "whoever sends in this namespace itself is told EPERM; others wait in vain".to_owned(),
        ],
    })
}
