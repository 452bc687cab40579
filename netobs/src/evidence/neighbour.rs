//! Drops because the next hop did not say where it is.

use serde::Serialize;

use super::Scene;
use super::inside::Inside;
use crate::netlink::{Neighbour, NeighbourState, RouteAnswer};

/// The next hop, and what the neighbour table has of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NextHop {
    /// The address that was asked for.
    pub address: String,
    /// It is a gateway on the way, not the destination itself.
    pub gateway: bool,
    /// The device that was asked on.
    pub device: Option<String>,
    /// The entry's state; `null` if there is no entry any more.
    pub state: Option<NeighbourState>,
}

pub(super) fn look(scene: &Scene<'_>, inside: &mut Inside<'_>) -> Option<NextHop> {
    let destination = scene.destination()?;
    let found = match inside.socket.route_to(destination, None).ok()? {
        RouteAnswer::Found(found) => found,
        RouteAnswer::Refused(_) => return None,
    };
    let address = found.gateway.unwrap_or(destination);
    // The packet's device is the one it was to leave by.
    let device = scene.ifindex.filter(|device| found.devices.contains(device)).or(found.devices.first().copied())?;
    let entry = inside.socket.neighbour(device, address).ok()?;
    Some(NextHop {
        address: address.to_string(),
        gateway: address != destination,
        device: inside.name(device),
        state: entry.and_then(|Neighbour { state, .. }| state),
    })
}

impl NextHop {
    pub(super) fn facts(&self, scene: &Scene<'_>) -> Vec<String> {
        let device = self.device.as_ref().map(|device| format!(" on {device}")).unwrap_or_default();
        let whose = if self.gateway { "the gateway " } else { "" };
        let asked = if self.address.contains(':') { "neighbour discovery" } else { "ARP" };
        let place = scene.in_netns();
        let entry = match self.state {
            Some(state) => format!("its neighbour entry{place} is {} now", state.name()),
            None => format!("it has no neighbour entry{place} now"),
        };
        vec![format!("{whose}{}{device} was asked for by {asked}", self.address), entry]
    }
}
