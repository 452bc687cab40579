//! Where the packet was well for the last time.

use super::super::Sighting;
use super::super::probe::{Observation, Packet, Role};

/// The last place at which the asked packet was seen, or its answer if it had one.
pub(super) fn last_good(observation: &Observation) -> Option<Sighting> {
    furthest(observation, Role::Answer).or_else(|| furthest(observation, Role::Asked))
}

/// Of several packets of a kind, the one that got furthest tells how far one can get.
fn furthest(observation: &Observation, role: Role) -> Option<Sighting> {
    let packets = observation.packets.iter().filter(|packet| packet.role == role);
    packets.max_by_key(|packet| packet.record.hops.len()).and_then(last_hop)
}

fn last_hop(packet: &Packet) -> Option<Sighting> {
    let hop = packet.record.hops.last()?;
    Some(Sighting { netns: hop.netns.clone(), device: hop.device.clone(), hook: Some(hop.hook.to_owned()) })
}
