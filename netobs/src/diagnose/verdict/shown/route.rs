//! Routes, forwarding, and the next hop.

use super::Seen;
use crate::diagnose::probe::Role;
use crate::diagnose::{Finding, Rung};
use crate::evidence::Evidence;

/// No route, or not allowed to forward.
pub(in super::super) fn no_way(seen: &Seen<'_>) -> Option<Finding> {
    let Some(Evidence::NoWay(found)) = &seen.drop.evidence else { return None };
    let (netns, whose, to) = (seen.netns(), seen.whose(), &found.destination);
    let key = if to.contains(':') { "net.ipv6.conf.all.forwarding" } else { "net.ipv4.ip_forward" };
    if found.forwarding == Some(0) {
        let sentence =
            format!("{netns} does not forward: {whose} to {to} comes in and is thrown away, because {key} is 0.");
        let mut finding = seen.finding("ip-forward-off", Rung::Forwarding, format!("{key}=0"), sentence);
        finding.fix = seen.typed(&[format!("sysctl -w {key}=1")]);
        finding.hints =
            vec![format!("that {netns} itself can be pinged says nothing: what is for itself is not forwarded")];
        return Some(finding);
    }
    let is_answer = seen.packet.role == Role::Answer;
    let (cause, rung, why) = match (found.no_route?, is_answer) {
        ("none", false) => ("host-no-route", Rung::Route, format!("has no route to {to}")),
        ("none", true) => ("no-route-back", Rung::WayBack, format!("has no route to {to}")),
        ("unreachable", _) => ("unreachable-route", Rung::Route, format!("has an unreachable route to {to}")),
        ("prohibit", _) => ("prohibit-route", Rung::Route, format!("has a prohibit route to {to}")),
        ("blackhole", _) => ("blackhole-route", Rung::Route, format!("has a blackhole route to {to}")),
        _ => return None,
    };
    let sentence = format!("{netns} {why}: {whose} is thrown away there.");
    let mut finding = seen.finding(cause, rung, format!("no usable route to {to}"), sentence);
    finding.hints = seen.to_see(format!("ip route get {to}"));
    Some(finding)
}

/// The reverse path filter.
pub(in super::super) fn reverse_path(seen: &Seen<'_>) -> Option<Finding> {
    let Some(Evidence::ReversePath(found)) = &seen.drop.evidence else { return None };
    let (netns, whose, source) = (seen.netns(), seen.whose(), &found.source);
    let device = found.device.as_deref()?;
    let (mode, way) = match (found.effective?, &found.reverse) {
        (1, Some(reverse)) => ("strict", format!("the way to {source} leads out by {}", reverse.devices.join(", "))),
        (1 | 2, None) => ("reverse path filter", format!("it has no route to {source}")),
        _ => return None,
    };
    let mode = if mode == "strict" { "its strict reverse path filter" } else { "its reverse path filter" };
    let culprit = match (found.all, found.configured) {
        (Some(all), Some(own)) if all >= own => format!("net.ipv4.conf.all.rp_filter={all}"),
        (_, Some(own)) => format!("net.ipv4.conf.{device}.rp_filter={own}"),
        _ => "rp_filter".to_owned(),
    };
    let cause = if found.reverse.is_some() { "rp-filter-strict" } else { "rp-filter-no-route" };
    let sentence = format!(
        "{netns} throws {whose} away that comes in by {device}: {way}, and {mode} drops what comes by another."
    );
    let mut finding = seen.finding(cause, Rung::Forwarding, culprit, sentence);
    if found.reverse.is_some() {
        let mut keys = Vec::new();
        if found.all == Some(1) {
            keys.push("net.ipv4.conf.all.rp_filter".to_owned());
        }
        if found.configured == Some(1) {
            keys.push(format!("net.ipv4.conf.{device}.rp_filter"));
        }
        finding.fix = seen.typed(&keys.iter().map(|key| format!("sysctl -w {key}=2")).collect::<Vec<_>>());
        finding.hints =
            vec![format!("the greater of all and {device} holds: {device}'s own 0 does nothing while all is 1")];
    }
    Some(finding)
}

/// A packet with our own address for its source comes in from outside.
pub(in super::super) fn own_source(seen: &Seen<'_>) -> Option<Finding> {
    let source = seen.packet.record.hops.last().and_then(|hop| hop.tuple.src.clone())?;
    let (netns, whose, device) = (seen.netns(), seen.whose(), seen.device());
    let sentence = format!(
        "{netns} throws {whose} away that comes in by {device}: its source {source} is {netns}'s own address, so somebody \
         else has that address, too."
    );
    let what = format!("{source}, which another namespace has, too");
    Some(seen.finding("duplicate-address", Rung::Address, what, sentence))
}

/// Forwarded once too often.
pub(in super::super) fn time_to_live(seen: &Seen<'_>) -> Option<Finding> {
    let hops = &seen.packet.record.hops;
    let visits = hops.iter().filter(|hop| hop.netns == seen.drop.netns && hop.hook == "nf_prerouting").count();
    let (netns, whose) = (seen.netns(), seen.whose());
    let (cause, why) = match visits {
        0 | 1 => ("time-to-live", "its time to live ran out there, so it had come through too many routers".to_owned()),
        _ => ("routing-loop", format!("it came through there {visits} times: the routes lead in a circle")),
    };
    let sentence = format!("{netns} throws {whose} away: {why}.");
    Some(seen.finding(cause, Rung::Route, "routes that lead in a circle".to_owned(), sentence))
}

/// Nobody answered for the next hop.
pub(in super::super) fn next_hop(seen: &Seen<'_>) -> Option<Finding> {
    let Some(Evidence::NextHop(found)) = &seen.drop.evidence else { return None };
    let (netns, whose, address) = (seen.netns(), seen.whose(), &found.address);
    let device = found.device.as_deref().unwrap_or(seen.device());
    let who = if found.gateway { format!("the gateway {address}") } else { address.clone() };
    let sentence =
        format!("{netns} asks for {who} on {device} and nobody answers: {whose} waits for that, and is thrown away.");
    let mut finding = seen.finding("neighbour-unreachable", Rung::Gateway, format!("{address} on {device}"), sentence);
    finding.hints =
        vec!["who has that address, and by which cable and bridge would the question get there?".to_owned()];
    Some(finding)
}
