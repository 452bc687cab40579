//! Packets that are too large for a device on their way.

use super::Seen;
use crate::diagnose::probe::{Ending, Role};
use crate::diagnose::typed::word;
use crate::diagnose::{Finding, Force, Rung};
use crate::evidence::{Evidence, LinkMtu};
use nix::errno::Errno;

/// What came out of a veth is too large for its other end.
pub(in super::super) fn other_end(seen: &Seen<'_>) -> Option<Finding> {
    let found = too_large(seen)?;
    let LinkMtu { length, device, netns, mtu, .. } = found;
    let here = netns.as_deref().unwrap_or(seen.netns());
    let sentence = format!(
        "{device} in {here} has MTU {mtu} and the other end of its cable sends more: {} of {length} bytes is thrown away, \
         and its sender is not told.",
        seen.whose()
    );
    Some(link(seen, "veth-mtu-mismatch", found, sentence))
}

/// A bridge does not send what is too large for the port.
pub(in super::super) fn bridge(seen: &Seen<'_>) -> Option<Finding> {
    let found = too_large(seen)?;
    let LinkMtu { length, device, netns, mtu, .. } = found;
    let here = netns.as_deref().unwrap_or(seen.netns());
    let sentence = format!(
        "The bridge's port {device} in {here} has MTU {mtu}: {} of {length} bytes does not fit, and a bridge tells nobody.",
        seen.whose()
    );
    Some(link(seen, "bridge-mtu-black-hole", found, sentence))
}

fn too_large<'a>(seen: &Seen<'a>) -> Option<&'a LinkMtu> {
    match &seen.drop.evidence {
        Some(Evidence::LinkMtu(found)) if found.length > found.mtu => Some(found),
        _ => None,
    }
}

fn link(seen: &Seen<'_>, cause: &'static str, found: &LinkMtu, sentence: String) -> Finding {
    let LinkMtu { device, netns, mtu, length, .. } = found;
    let mut finding = seen.finding(cause, Rung::Mtu, format!("{device} has MTU {mtu}"), sentence);
    finding.force = Force::Harms;
    finding.culprit.netns = netns.clone().or(finding.culprit.netns);
    if let Some(netns) = &finding.culprit.netns {
        finding.fix =
            vec![crate::diagnose::typed::in_netns(netns, &format!("ip link set {} mtu {length}", word(device)))];
    }
    finding.hints = vec!["a small ping gets through all the same, and so does opening a connection".to_owned()];
    finding
}

/// A router does not send on what is too large for the way out.
pub(in super::super) fn path(seen: &Seen<'_>) -> Option<Finding> {
    let Some(Evidence::PathMtu(found)) = &seen.drop.evidence else { return None };
    let mtu = found.route_mtu.or(found.device_mtu)?;
    let (netns, whose, length) = (seen.netns(), seen.whose(), found.length);
    let device = found.device.as_deref().unwrap_or("the device it is to leave by");
    let told =
        seen.attempt().is_some_and(|attempt| matches!(attempt.ending, Ending::Error { errno: Errno::EMSGSIZE, .. }));
    // Of an answer it is its sender that would have to be told, and we are not that.
    let errors = || seen.observation.packets.iter().filter(|packet| packet.role == Role::Error);
    let lost = errors().find(|packet| packet.record.outcome == "dropped");
    let arrived = told || errors().any(|packet| packet.record.outcome == "delivered");
    let (cause, sentence) = if arrived {
        (
            "mtu-path-smaller",
            format!(
                "The way out of {netns} by {device} takes no packets over {mtu} bytes: {whose} of {length} is thrown away, \
                 and its sender is told and sends smaller ones."
            ),
        )
    } else {
        (
            "mtu-black-hole",
            format!(
                "The way out of {netns} by {device} takes no packets over {mtu} bytes: {whose} of {length} is thrown away, \
                 and its sender is never told, so that large packets vanish for ever."
            ),
        )
    };
    let mut finding = seen.finding(cause, Rung::Mtu, format!("{device} has MTU {mtu}"), sentence);
    finding.force = Force::Harms;
    if let Some(drop) = lost.and_then(|packet| Seen::new(packet, seen.observation)) {
        finding.evidence.push(drop.line());
    }
    finding.hints = vec!["a small ping gets through all the same, and so does opening a connection".to_owned()];
    Some(finding)
}
