//! Drops of packets too large for the way out, by IP.

use std::net::IpAddr;

use etherparse::LaxNetSlice;
use serde::Serialize;

use super::Scene;
use super::header::slices;
use super::inside::Inside;
use crate::netlink::RouteAnswer;

/// The packet, and the way that was too narrow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathMtu {
    /// The packet's bytes from the IP header on.
    pub length: u32,
    /// The DF bit; `null` in IPv6, where routers never fragment.
    pub dont_fragment: Option<bool>,
    /// Where it was to go.
    pub destination: String,
    /// The device it had to leave by.
    pub device: Option<String>,
    /// That device's MTU.
    pub device_mtu: Option<u32>,
    /// The MTU that the kernel keeps for this destination, learnt by ICMP or set with the route.
    pub route_mtu: Option<u32>,
    /// What the kernel tells the sender at this place, if a rate limit or a firewall does not prevent it.
    pub answered_with: &'static str,
}

pub(super) fn look(scene: &Scene<'_>, inside: &mut Inside<'_>) -> Option<PathMtu> {
    let destination = scene.destination()?;
    let device = match inside.socket.route_to(destination, None).ok()? {
        // A multipath route has not said which of its devices it was.
        RouteAnswer::Found(found) => match found.devices.as_slice() {
            [device] => inside.link(*device).map(|link| (link.name.clone(), link.mtu)),
            _ => None,
        },
        RouteAnswer::Refused(_) => None,
    };
    Some(PathMtu {
        length: scene.ip_length(),
        dont_fragment: scene.captured.and_then(|captured| match slices(captured)?.net? {
            LaxNetSlice::Ipv4(ip) => Some(ip.header().dont_fragment()),
            LaxNetSlice::Ipv6(_) | LaxNetSlice::Arp(_) => None,
        }),
        destination: destination.to_string(),
        device: device.as_ref().map(|(name, _)| name.clone()),
        device_mtu: device.map(|(_, mtu)| mtu),
        route_mtu: inside.socket.path_mtu(destination).ok().flatten(),
        answered_with: match destination {
            IpAddr::V4(_) => "icmp frag needed",
            IpAddr::V6(_) => "icmp6 packet too big",
        },
    })
}

impl PathMtu {
    pub(super) fn facts(&self) -> Vec<String> {
        let whole = match self.dont_fragment {
            Some(true) => ", not to be fragmented (DF)",
            Some(false) => ", which may be fragmented (no DF)",
            None => "",
        };
        let mut facts = vec![format!("the packet has {} bytes{whole}", self.length)];
        if let (Some(device), Some(mtu)) = (&self.device, self.device_mtu) {
            facts.push(format!("{} is reached by {device}, whose MTU is {mtu}", self.destination));
        }
        if let Some(mtu) = self.route_mtu.filter(|mtu| Some(*mtu) != self.device_mtu) {
            facts.push(format!("the MTU kept for this route is {mtu}"));
        }
        facts
    }
}
