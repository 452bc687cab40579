//! What a bridge did with a frame, and why.

use netobs_ebpf::{Fdb, Hook};

use super::{Hop, Journey};
use crate::event::Event;
use crate::netlink::{Ifindex, MacAddress};
use crate::netns::NetnsInode;

/// `PACKET_HOST` of `<linux/if_packet.h>`: for the device it is on.
const PACKET_HOST: u8 = 0;

/// Why a frame went where it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The forwarding database has its address behind that port.
    Fdb,
    /// To every port: it is for everybody, or nobody knows where its address is.
    Flood,
    /// Its address is the bridge's own.
    Local,
}

impl Why {
    /// The name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fdb => "fdb",
            Self::Flood => "flood",
            Self::Local => "local",
        }
    }
}

/// A bridge's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bridging {
    /// The port that it left by, or, where it was handed up to the host, that it had come in by.
    pub port: Ifindex,
    /// It was handed up to the bridge's own device.
    pub is_up: bool,
    /// The link-layer address that the frame was for.
    pub destination: Option<MacAddress>,
    /// `None` if it cannot be told.
    pub why: Option<Why>,
}

/// What a bridge knew of a frame's address when the frame came to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    netns: Option<NetnsInode>,
    /// The port that it came in by, or the bridge's own device.
    device: Option<Ifindex>,
    destination: Option<MacAddress>,
    fdb: Fdb,
}

impl Journey {
    /// Takes in that the frame came to a bridge, left by a port of one, or was handed up.
    pub(super) fn cross_bridge(&mut self, event: &Event) -> Option<Bridging> {
        match (event.hook, event.fdb) {
            (Hook::NetifReceiveSkb | Hook::NetDevStartXmit, Some(fdb)) => {
                let Event { netns, ifindex: device, destination, .. } = *event;
                self.asked = Some(Asked { netns, device, destination, fdb });
                None
            }
            (Hook::NetDevQueue, Some(fdb)) => {
                // Without it, the packet was sent through the port as through any other device.
                let asked = self.asked.take().filter(|asked| asked.netns == event.netns)?;
                let why = asked.forwarded(event, fdb);
                Some(Bridging { port: event.ifindex?, is_up: false, destination: event.destination, why })
            }
            (Hook::NetifReceiveSkb, None) => {
                let asked = self.asked.take().filter(|asked| asked.netns == event.netns)?;
                let on_port = |hop: &&Hop| !hop.hook.is_call() && !hop.hook.is_netfilter();
                let before = self.hops.iter().rev().find(on_port)?;
                let came_by = before.hook == Hook::NetifReceiveSkb && before.ifindex == asked.device;
                let why = match asked.destination {
                    Some(destination) if destination.is_broadcast() => Some(Why::Flood),
                    Some(destination) if destination.is_group() => None,
                    _ => (event.packet_type == PACKET_HOST).then_some(Why::Local),
                };
                let port = asked.device.filter(|_| came_by)?;
                Some(Bridging { port, is_up: true, destination: asked.destination, why })
            }
            _ => None,
        }
    }
}

impl Asked {
    /// Why the frame left by the port that the event is on, of which the bridge says `now`.
    fn forwarded(&self, event: &Event, now: Fdb) -> Option<Why> {
        // The frame may have got another address on the way (DNAT under br_netfilter).
        let destination = event.destination.filter(|destination| self.destination == Some(*destination))?;
        if destination.is_broadcast() {
            return Some(Why::Flood);
        }
        // Snooping may have sent it to the members of its group only.
        if destination.is_group() {
            return None;
        }
        match (self.fdb, now) {
            (Fdb::Elsewhere | Fdb::Here, Fdb::Here) => Some(Why::Fdb),
            (Fdb::Missing, Fdb::Missing) => Some(Why::Flood),
            // Learnt or forgotten in between: before the bridge looked or after it. Or the frame went by a backup port.
            _ => None,
        }
    }
}
