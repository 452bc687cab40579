//! The way as a line of devices, with what was seen on it.

use std::time::Duration;

use super::super::probe::{Observation, Packet, Role};
use super::super::{Place, Trail};
use super::known::Devices;

/// The way there and the way back.
pub(super) fn trails(observation: &Observation, out: &Devices, back: &Devices) -> (Trail, Trail) {
    let asked = sightings(observation, Role::Asked);
    let answers = sightings(observation, Role::Answer);
    // Whoever refuses it answers, too, but not in the name of somebody who took it.
    let refused = !observation.is_answered() && observation.is_dropped();
    let arrived = observation.is_answered() || observation.is_delivered() || (!answers.is_empty() && !refused);
    let is_watched = observation.unobserved.is_none();
    let out = trail(&asked, out, is_watched, is_watched && !arrived);
    let back = trail(&answers, back, is_watched, is_watched && arrived && !observation.is_answered());
    (out, back)
}

/// A device, and how long after the beginning a packet was first seen there.
struct Seen {
    netns: Option<String>,
    device: Option<String>,
    after: Duration,
}

impl Seen {
    fn is(&self, (netns, device): &(String, String)) -> bool {
        self.netns.as_deref() == Some(netns) && self.device.as_deref() == Some(device)
    }
}

fn trail(seen: &[Seen], devices: &Devices, is_watched: bool, is_broken: bool) -> Trail {
    let is_foreseen = |seen: &&Seen| devices.iter().any(|device| seen.is(device));
    let mut places = Vec::new();
    let mut rest = devices.as_slice();
    if !seen.iter().all(|seen| is_foreseen(&seen)) {
        // It went another way than was to be expected: then what was seen counts.
        places.extend(seen.iter().map(|seen| Place {
            netns: seen.netns.clone(),
            device: seen.device.clone(),
            seen: Some(true),
            after: Some(seen.after),
        }));
        let last = seen.iter().rev().find_map(|seen| devices.iter().rposition(|device| seen.is(device)));
        rest = last.and_then(|last| devices.get(last + 1..)).unwrap_or_default();
    }
    for (index, device) in rest.iter().enumerate() {
        // A device that the way leads by twice was passed once, if the packet died in between.
        let again = is_broken && rest.iter().take(index).any(|before| before == device);
        let here = seen.iter().find(|seen| seen.is(device) && !again);
        places.push(Place {
            netns: Some(device.0.clone()),
            device: Some(device.1.clone()),
            seen: is_watched.then_some(here.is_some()),
            after: here.map(|seen| seen.after),
        });
    }
    let passed = places.iter().rposition(|place| place.seen == Some(true)).map_or(0, |last| last + 1);
    Trail { places, breaks_at: is_broken.then_some(passed) }
}

/// Devices at which packets of the first attempt were seen, in the order of their first sighting.
fn sightings(observation: &Observation, role: Role) -> Vec<Seen> {
    let of_the_first = |packet: &&Packet| packet.flow == 0;
    let Some(began) = observation
        .packets
        .iter()
        .filter(of_the_first)
        .filter(|packet| packet.role == Role::Asked)
        .map(|packet| packet.started)
        .min()
    else {
        return Vec::new();
    };
    let mut seen: Vec<Seen> = Vec::new();
    for packet in observation.packets.iter().filter(of_the_first).filter(|packet| packet.role == role) {
        // What a bridge floods to bystanders is not on the way.
        if packet.record.parent.is_some() && packet.record.drop.is_some() {
            continue;
        }
        for hop in packet.record.hops.iter().filter(|hop| !hop.is_function && hop.device.is_some()) {
            let after = Duration::from_nanos(packet.started.saturating_sub(began) + hop.offset_ns);
            match seen.iter_mut().find(|seen| seen.netns == hop.netns && seen.device == hop.device) {
                Some(known) => known.after = known.after.min(after),
                None => seen.push(Seen { netns: hop.netns.clone(), device: hop.device.clone(), after }),
            }
        }
    }
    seen.sort_by_key(|seen| seen.after);
    seen
}
