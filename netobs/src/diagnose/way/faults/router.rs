//! Who on a link would lead on.

use std::net::IpAddr;

use crate::diagnose::way::mended::ThoughtRoute;
use crate::diagnose::way::segment::{Segment, is_link_local};
use crate::diagnose::way::walker::Walker;
use crate::netlink::{Ifindex, Route, RouteAnswer};
use crate::netns::NetnsInode;

/// No more stations of a link than this are looked at.
const LOOKED_AT: usize = 256;

/// Somebody who leads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Router {
    /// The link by which it is reached.
    pub(super) device: Ifindex,
    /// Its address there.
    pub(super) address: IpAddr,
    /// Its namespace.
    pub(super) netns: NetnsInode,
    /// It forwards, and not only back.
    pub(super) forwards: bool,
    /// It has the destination itself.
    pub(super) has_it: bool,
}

impl Walker<'_> {
    /// The neighbour that leads on to `to`, on one link or any.
    pub(super) fn find_router(&mut self, netns: NetnsInode, to: IpAddr, only: Option<Ifindex>) -> Option<Router> {
        let view = self.machine.view(netns)?;
        let mut best: Option<((u32, u32), Router)> = None;
        for link in view.links.iter().filter(|link| !link.loopback && only.is_none_or(|only| only == link.ifindex)) {
            // What a bridge's ports lead to, the bridge does.
            if self.mended.master(netns, link).is_some() {
                continue;
            }
            let of_family =
                |own: &&crate::netlink::Address| own.address.is_ipv6() == to.is_ipv6() && !is_link_local(own.address);
            let own: Vec<_> = view.addresses_of(link.ifindex).filter(of_family).cloned().collect();
            let mut stations = Vec::new();
            let mut segment = Segment::of(self.machine, &self.mended, netns, link.ifindex);
            while let Some(station) = segment.next_station().filter(|_| stations.len() < LOOKED_AT) {
                stations.push(station);
            }
            for station in stations.into_iter().filter(|station| station.netns != netns) {
                let Some(theirs) = self.machine.view(station.netns) else { continue };
                let near = theirs.addresses_of(station.link).filter(of_family).find(|their| {
                    let near = own.iter().any(|own| own.covers(their.address) || their.covers(own.address));
                    near || own.is_empty() || their.address == to
                });
                let Some(near) = near.filter(|near| !self.mended.is_taken_away(station.netns, near.address)) else {
                    continue;
                };
                let onward = self.machine.matching(station.netns, to, None);
                let has_it = theirs.owns(to);
                let onward = matches!(onward, Some(RouteAnswer::Found(found))
                    if !found.local && !found.devices.contains(&station.link));
                let forwards = self.is_crossing(station.netns, to.is_ipv6());
                let score = u32::from(has_it) * 8
                    + u32::from(onward) * 4
                    + u32::from(forwards) * 2
                    + u32::from(theirs.link(station.link).is_some_and(|link| link.kind.as_deref() == Some("bridge")));
                let faults = u32::try_from(station.mends.len()).unwrap_or(u32::MAX);
                let rank = (score, u32::MAX - faults);
                let router =
                    Router { device: link.ifindex, address: near.address, netns: station.netns, forwards, has_it };
                if score > 0 && best.is_none_or(|(best, _)| rank > best) {
                    best = Some((rank, router));
                }
            }
        }
        best.map(|(_, router)| router)
    }

    /// The command that adds a default route.
    pub(super) fn default_route(&mut self, netns: NetnsInode, gateway: IpAddr) -> String {
        self.machine.ip(netns, &format!("{}route add default via {gateway}", Self::family(gateway)))
    }

    /// Whether the namespace has a default route in its main table.
    pub(super) fn has_default(&mut self, netns: NetnsInode, ipv6: bool) -> bool {
        let routes = self.machine.routes(netns).unwrap_or_default();
        routes.iter().any(|route| {
            let family = route.gateway.map(|gateway| gateway.is_ipv6());
            route.destination.is_none()
                && route.prefix_length == 0
                && route.unicast
                && route.table == Route::MAIN
                && family.is_none_or(|is| is == ipv6)
        })
    }

    /// Goes on as if the namespace had this default route.
    pub(super) fn takes_default(&mut self, netns: NetnsInode, device: Ifindex, gateway: IpAddr) {
        let net = match gateway {
            IpAddr::V4(_) => IpAddr::from([0; 4]),
            IpAddr::V6(_) => IpAddr::from([0; 16]),
        };
        self.mended.add_route(ThoughtRoute { netns, net, length: 0, gateway: Some(gateway), device });
    }
}
