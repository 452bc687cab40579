//! From what the kernel said of a dropped packet to what is wrong with the machine.

use super::super::probe::{Observation, Packet, Role};
use super::super::{Culprit, Finding, Force, Rung};
use crate::evidence::Evidence;
use crate::output::DropRecord;

/// What the drops that were seen show.
pub(super) fn findings(observation: &Observation) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for packet in observation.packets.iter().filter(|packet| packet.role != Role::Neighbour) {
        let Some(drop) = packet.record.drop.as_ref().filter(|drop| drop.fault != Some(false)) else { continue };
        if let Some(finding) = finding(packet, drop)
            && !findings.iter().any(|known| known.cause == finding.cause)
        {
            findings.push(finding);
        }
    }
    findings
}

/// A reason, the functions that may give it, and what it shows.
struct Row {
    reasons: &'static [&'static str],
    show: fn(&Packet, &DropRecord) -> Option<Shown>,
}

/// What is at fault, as far as the drop alone tells.
struct Shown {
    cause: &'static str,
    rung: Rung,
    force: Force,
    what: String,
    why: String,
    fix: Vec<String>,
}

const ROWS: &[Row] = &[
    Row { reasons: &["IP_INADDRERRORS", "IP_INNOROUTES", "NOT_SPECIFIED"], show: no_way },
    Row { reasons: &["IP_RPFILTER", "NOT_SPECIFIED"], show: reverse_path },
    Row { reasons: &["NO_SOCKET"], show: no_listener },
];

fn finding(packet: &Packet, drop: &DropRecord) -> Option<Finding> {
    let reason = drop.reason.as_deref()?;
    let shown = ROWS.iter().filter(|row| row.reasons.contains(&reason)).find_map(|row| (row.show)(packet, drop))?;
    let Shown { cause, rung, force, what, why, fix } = shown;
    let place = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    let (netns, device) = (place(&drop.netns), place(&drop.device));
    let whose = if packet.role == Role::Asked { "the packet" } else { "the answer" };
    let mut evidence = vec![format!(
        "{whose} was dropped in {netns} on {device}: {reason} in {}",
        drop.function.as_deref().unwrap_or("an unknown function")
    )];
    evidence.extend(drop.facts.iter().cloned());
    Some(Finding {
        cause,
        rung,
        force,
        sentence: format!("In {netns}, {whose} is dropped on {device}, because {why}."),
        culprit: Culprit { netns: drop.netns.clone(), what },
        evidence,
        fix,
        hints: Vec::new(),
    })
}

fn no_way(_: &Packet, drop: &DropRecord) -> Option<Shown> {
    let Some(Evidence::NoWay(found)) = &drop.evidence else { return None };
    let key = if found.destination.contains(':') { "net.ipv6.conf.all.forwarding" } else { "net.ipv4.ip_forward" };
    let inside = drop.netns.as_deref().map(|netns| format!("ip netns exec {netns} ")).unwrap_or_default();
    if found.forwarding == Some(0) {
        return Some(Shown {
            cause: "ip-forward-off",
            rung: Rung::Forwarding,
            force: Force::Stops,
            what: format!("{key}=0"),
            why: format!("{key} is 0 there: it takes packets for itself only"),
            fix: vec![format!("{inside}sysctl -w {key}=1")],
        });
    }
    let none = found.no_route? == "none";
    none.then(|| Shown {
        cause: "host-no-route",
        rung: Rung::Route,
        force: Force::Stops,
        what: format!("no route to {}", found.destination),
        why: format!("it has no route to {}", found.destination),
        fix: Vec::new(),
    })
}

fn reverse_path(_: &Packet, drop: &DropRecord) -> Option<Shown> {
    let Some(Evidence::ReversePath(found)) = &drop.evidence else { return None };
    (found.effective == Some(1)).then(|| Shown {
        cause: "rp-filter-strict",
        rung: Rung::WayBack,
        force: Force::Stops,
        what: "rp_filter=1".to_owned(),
        why: format!("its strict reverse path filter wants {} to come in by another device", found.source),
        fix: Vec::new(),
    })
}

fn no_listener(_: &Packet, drop: &DropRecord) -> Option<Shown> {
    let Some(Evidence::NoListener(found)) = &drop.evidence else { return None };
    found.on_port.is_empty().then(|| Shown {
        cause: "no-listener",
        rung: Rung::Listener,
        force: Force::Stops,
        what: format!("no socket on {} port {}", found.proto, found.port),
        why: format!("nobody listens on {} port {} there", found.proto, found.port),
        fix: Vec::new(),
    })
}
