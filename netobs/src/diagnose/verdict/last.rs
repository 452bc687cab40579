//! Where the packet was well for the last time.

use super::super::Sighting;
use super::super::probe::{Observation, Packet, Role};
use crate::output::HopRecord;

/// The last place at which the asked packet was seen and nothing happened to it, or its answer if there was one.
pub(super) fn last_good(observation: &Observation) -> Option<Sighting> {
    // Somebody on the way may have answered in the name of whom it was sent to: with a reset, for one.
    let died = observation.is_dropped();
    let answer = || furthest(observation, Role::Answer).filter(|_| !died || observation.is_answered());
    answer().or_else(|| furthest(observation, Role::Asked))
}

/// Of several packets of a kind, the one that got furthest tells how far one can get.
fn furthest(observation: &Observation, role: Role) -> Option<Sighting> {
    let packets = of_the_first(observation, role);
    let (_, last) = packets
        .filter_map(|packet| Some((passed(packet).count(), passed(packet).last()?)))
        .max_by_key(|(count, _)| *count)?;
    Some(Sighting { netns: last.netns.clone(), device: last.device.clone(), hook: Some(last.hook.to_owned()) })
}

/// The places it passed. To be looked up in a routing table is no place, and a hook that drops was not passed.
fn passed(packet: &Packet) -> impl Iterator<Item = &HopRecord> {
    packet.record.hops.iter().filter(|hop| {
        let dropped = hop.netfilter.as_ref().is_some_and(|netfilter| netfilter.verdict == Some("drop"));
        hop.route.is_none() && !hop.is_function && !dropped
    })
}

fn of_the_first(observation: &Observation, role: Role) -> impl Iterator<Item = &Packet> {
    observation.packets.iter().filter(move |packet| packet.role == role && packet.flow == 0)
}
