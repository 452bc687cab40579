//! Drops for what stands in the packet's own headers.

use etherparse::{LaxNetSlice, LaxSlicedPacket, LinkSlice};
use serde::Serialize;

use super::Scene;
use super::inside::Inside;
use crate::event::Captured;
use crate::netlink::MacAddress;

/// The time to live that ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TimeToLive {
    /// Of IPv4 the time to live, of IPv6 the hop limit, as the packet came in.
    pub value: u8,
    /// Whether it is IPv6.
    #[serde(skip)]
    v6: bool,
}

/// An IPv4 header's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Checksum {
    /// What the header says.
    pub header: u16,
    /// What its bytes add up to.
    pub right: u16,
}

/// A frame for somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherHost {
    /// The frame's destination.
    pub destination: String,
    /// The device's own address.
    pub own: Option<String>,
    /// The device.
    pub device: Option<String>,
}

/// A packet's bytes as slices of its headers.
pub(super) fn slices(captured: &Captured) -> Option<LaxSlicedPacket<'_>> {
    if captured.ethernet {
        LaxSlicedPacket::from_ethernet(&captured.bytes).ok()
    } else {
        Some(LaxSlicedPacket::from_ether_type(etherparse::EtherType(captured.ether_type), &captured.bytes))
    }
}

pub(super) fn time_to_live(scene: &Scene<'_>) -> Option<TimeToLive> {
    match slices(scene.captured?)?.net? {
        LaxNetSlice::Ipv4(ip) => Some(TimeToLive { value: ip.header().ttl(), v6: false }),
        LaxNetSlice::Ipv6(ip) => Some(TimeToLive { value: ip.header().hop_limit(), v6: true }),
        LaxNetSlice::Arp(_) => None,
    }
}

pub(super) fn checksum(scene: &Scene<'_>) -> Option<Checksum> {
    match slices(scene.captured?)?.net? {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            Some(Checksum { header: header.header_checksum(), right: header.to_header().calc_header_checksum() })
        }
        LaxNetSlice::Ipv6(_) | LaxNetSlice::Arp(_) => None,
    }
}

pub(super) fn other_host(scene: &Scene<'_>, inside: &mut Inside<'_>) -> Option<OtherHost> {
    let Some(LinkSlice::Ethernet2(frame)) = slices(scene.captured?)?.link else { return None };
    Some(OtherHost {
        destination: MacAddress(frame.destination()).to_string(),
        own: inside.link(scene.ifindex?).and_then(|link| link.mac).map(|mac| mac.to_string()),
        device: scene.device.map(str::to_owned),
    })
}

impl TimeToLive {
    pub(super) fn facts(&self) -> Vec<String> {
        vec![format!("it came in with {} {}", if self.v6 { "hop limit" } else { "ttl" }, self.value)]
    }
}

impl Checksum {
    pub(super) fn facts(&self) -> Vec<String> {
        vec![format!("the header says 0x{:04x}, its bytes add up to 0x{:04x}", self.header, self.right)]
    }
}

impl OtherHost {
    pub(super) fn facts(&self) -> Vec<String> {
        let mut facts = vec![format!("the frame is for {}", self.destination)];
        if let (Some(own), Some(device)) = (&self.own, &self.device) {
            facts.push(format!("{device} is {own}"));
        }
        facts
    }
}
