//! Rules and programs that somebody installed.

use super::Seen;
use crate::diagnose::probe::Packet;
use crate::diagnose::{Finding, Rung};
use crate::evidence::Evidence;

/// Netfilter: a rule, a policy, or connection tracking.
pub(in super::super) fn netfilter(seen: &Seen<'_>) -> Option<Finding> {
    let (netns, whose) = (seen.netns(), seen.whose());
    if let Some(Evidence::ConntrackTable(table)) = &seen.drop.evidence {
        let level = format!("{} of {} entries", table.entries, table.limit);
        let sentence =
            format!("The connection table of {netns} is full ({level}): {whose}, the first of a new flow, is dropped.");
        let mut finding =
            seen.finding("conntrack-full", Rung::Conntrack, format!("connection table: {level}"), sentence);
        finding.fix = vec![format!("sysctl -w net.netfilter.nf_conntrack_max={}", table.limit.saturating_mul(2))];
        return Some(finding);
    }
    named(seen).or_else(|| Some(unnamed(seen)))
}

/// Which rule it was is known.
fn named(seen: &Seen<'_>) -> Option<Finding> {
    let (netns, whose) = (seen.netns(), seen.whose());
    let rule = seen.drop.rule.rule.as_ref()?;
    let is_bridged = bridged(seen.packet);
    let hook = seen.drop.hook?;
    let cause = match (is_bridged, hook, rule.policy) {
        (true, ..) => "bridge-netfilter-drop",
        (false, "nf_prerouting", true) => "prerouting-policy-drop",
        (false, "nf_prerouting", false) => "prerouting-rule-drop",
        (false, "nf_input", true) => "input-policy-drop",
        (false, "nf_input", false) => "input-rule-drop",
        (false, "nf_forward", true) => "forward-policy-drop",
        (false, "nf_forward", false) => "forward-rule-drop",
        (false, "nf_output", true) => "output-policy-drop",
        (false, "nf_output", false) => "output-rule-drop",
        (false, "nf_postrouting", true) => "postrouting-policy-drop",
        (false, "nf_postrouting", false) => "postrouting-rule-drop",
        _ => return None,
    };
    let crossing = if is_bridged { ", although it only crosses a bridge" } else { "" };
    let sentence = format!(
        "A firewall in {netns} drops {whose} at its {} hook{crossing}: `{rule}`.",
        hook.trim_start_matches("nf_")
    );
    Some(seen.finding(cause, Rung::Rules, rule.to_string(), sentence))
}

/// It is not. `nft_do_chain` runs the chains of every family, and those of `bridge` and `netdev` are not read.
fn unnamed(seen: &Seen<'_>) -> Finding {
    let (netns, whose, device) = (seen.netns(), seen.whose(), seen.device());
    let told = &seen.drop.rule;
    let is_beside = told.rule_candidates.is_empty()
        && told.rule_undecided.is_empty()
        && seen.drop.function.as_deref() == Some("nft_do_chain");
    let sentence = if is_beside {
        format!(
            "An nftables chain in {netns} drops {whose} on {device}, and none of those at the IP hooks: it is one of a \
             table of the family bridge or netdev."
        )
    } else {
        format!("Something at netfilter's hooks in {netns} drops {whose} on {device}; which rule it is cannot be told.")
    };
    let mut finding = seen.finding("netfilter-drop", Rung::Rules, format!("netfilter, on {device}"), sentence);
    finding.evidence.extend(told.rule_candidates.iter().map(|rule| format!("it may be {rule}")));
    finding.evidence.extend(told.rule_undecided.iter().map(|line| format!("cannot be told: {line}")));
    finding.hints = seen.to_see("nft list ruleset".to_owned());
    finding
}

/// Whether the last netfilter hook was passed on a bridge.
fn bridged(packet: &Packet) -> bool {
    packet.record.hops.iter().rev().find_map(|hop| hop.netfilter.as_ref()).is_some_and(|netfilter| netfilter.bridged)
}

/// A program at tc or XDP.
pub(in super::super) fn program(seen: &Seen<'_>) -> Option<Finding> {
    let (netns, whose, device) = (seen.netns(), seen.whose(), seen.device());
    let (cause, what, look) = match seen.drop.reason.as_deref()? {
        "XDP" => ("xdp-drop", format!("the XDP program on {device}"), "bpftool net show"),
        "TC_INGRESS" => ("tc-drop", format!("a tc filter or program on {device}, ingress"), "tc filter show dev"),
        _ => ("tc-drop", format!("a tc filter or program on {device}, egress"), "tc filter show dev"),
    };
    let sentence = format!("In {netns}, {what}, drops {whose}.");
    let mut finding = seen.finding(cause, Rung::Rules, what, sentence);
    let look = match cause {
        "xdp-drop" => look.to_owned(),
        _ => {
            let side = if seen.drop.reason.as_deref() == Some("TC_INGRESS") { "ingress" } else { "egress" };
            format!("{look} {} {side}", crate::diagnose::typed::word(device))
        }
    };
    finding.hints = seen.to_see(look);
    Some(finding)
}
