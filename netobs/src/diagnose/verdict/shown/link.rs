//! Devices that do not send, and bridges that do not take.

use super::Seen;
use crate::diagnose::typed::word;
use crate::diagnose::{Finding, Rung};
use crate::evidence::Evidence;

/// The device did not take what was to leave by it.
pub(in super::super) fn sender(seen: &Seen<'_>) -> Option<Finding> {
    let Some(Evidence::Device(device)) = &seen.drop.evidence else { return None };
    let (netns, whose, name) = (seen.netns(), seen.whose(), &device.name);
    if !device.up {
        let cause = if name == "lo" { "loopback-down" } else { "device-down" };
        let sentence = format!("{name} in {netns} is switched off: {whose} cannot leave by it.");
        let mut finding = seen.finding(cause, Rung::Link, format!("{name} is down"), sentence);
        finding.fix = seen.typed(&[format!("ip link set {} up", word(name))]);
        return Some(finding);
    }
    if !device.carrier {
        let sentence = format!(
            "{name} in {netns} has no carrier, because what is at its other end is switched off or gone: {whose} cannot \
             leave by it."
        );
        return Some(seen.finding("no-carrier", Rung::Link, format!("{name} has no carrier"), sentence));
    }
    let sentence = format!("The queueing discipline of {name} in {netns} does not take {whose}.");
    let mut finding = seen.finding("queue-drop", Rung::Link, format!("the queue of {name}"), sentence);
    finding.hints = seen.to_see(format!("tc -s qdisc show dev {}", word(name)));
    Some(finding)
}

/// A bridge's port does not let in what came by it.
pub(in super::super) fn bridge_port(seen: &Seen<'_>) -> Option<Finding> {
    let Some(Evidence::Device(port)) = &seen.drop.evidence else { return None };
    let (netns, whose, name) = (seen.netns(), seen.whose(), &port.name);
    let bridge = port.master.as_ref()?;
    if port.master_up == Some(false) {
        let sentence = format!(
            "The bridge {bridge} in {netns} is switched off: {whose} comes in by its port {name} and goes no further."
        );
        let mut finding = seen.finding("bridge-down", Rung::Bridge, format!("{bridge} is down"), sentence);
        finding.fix = seen.typed(&[format!("ip link set {} up", word(bridge))]);
        return Some(finding);
    }
    (port.forwarding == Some(false)).then(|| {
        let sentence = format!(
            "The bridge {bridge} in {netns} does not forward what comes in by its port {name}, which spanning tree has \
             not opened: {whose} goes no further."
        );
        seen.finding(
            "port-not-forwarding",
            Rung::Bridge,
            format!("port {name} of {bridge} is not forwarding"),
            sentence,
        )
    })
}
