//! Which route the packet takes, and which it should.

use std::net::IpAddr;

use super::mended::ThoughtRoute;
use super::segment::is_link_local;
use super::walker::Walker;
use crate::netlink::{Found, Ifindex, Refusal, Route, RouteAnswer, RouteQuery};
use crate::netns::NetnsInode;

/// A route, as far as the walk goes by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Routed {
    /// To this very namespace.
    Here,
    /// On to another.
    By {
        /// `None` if the destination is on the link.
        gateway: Option<IpAddr>,
        /// The link that it leaves by.
        device: Ifindex,
        /// The address that a packet of the namespace's own leaves with.
        source: Option<IpAddr>,
    },
}

impl Walker<'_> {
    /// The route of a packet, with what is broken mended. `None` if there is no way on.
    pub(super) fn route(
        &mut self,
        netns: NetnsInode,
        to: IpAddr,
        source: Option<IpAddr>,
        input: Option<Ifindex>,
    ) -> Option<Routed> {
        let mut answer = self.ask(netns, to, source, input);
        if let Some(RouteAnswer::Found(found)) = &answer
            && found.local
        {
            return Some(Routed::Here);
        }
        if self.thought(netns, to, answer.as_ref()).is_none()
            && let Some(RouteAnswer::Refused(refusal)) = answer
        {
            if !self.mend_route(netns, to, refusal, input.is_some()) {
                return None;
            }
            answer = None;
        }
        if let Some(RouteAnswer::Found(_)) = answer
            && self.thought(netns, to, answer.as_ref()).is_none()
            && let Some(RouteAnswer::Found(entry)) = self.machine.matching(netns, to, None)
            && entry.table == Route::MAIN
        {
            let taken = entry.prefix_length;
            if !self.net_went_with_its_link(netns, to, taken) {
                self.net_is_cut_off(netns, to, taken);
            }
        }
        if let Some(thought) = self.thought(netns, to, answer.as_ref()) {
            let ThoughtRoute { gateway, device, .. } = thought;
            let source = self.own_address(netns, device, gateway.unwrap_or(to));
            return Some(Routed::By { gateway, device, source });
        }
        match answer {
            Some(RouteAnswer::Found(Found { gateway, devices, source, .. })) => {
                let device = *devices.first()?;
                self.route_is_there(netns, to, gateway, device);
                Some(Routed::By { gateway, device, source })
            }
            Some(RouteAnswer::Refused(_)) | None => None,
        }
    }

    /// A route in thought, unless the kernel has a better one.
    fn thought(&mut self, netns: NetnsInode, to: IpAddr, answer: Option<&RouteAnswer>) -> Option<ThoughtRoute> {
        let thought = self.mended.route(netns, to)?;
        if let Some(RouteAnswer::Found(_)) = answer
            && let Some(RouteAnswer::Found(own)) = self.machine.matching(netns, to, None)
            && own.prefix_length > thought.length
        {
            return None;
        }
        Some(thought)
    }

    /// What the kernel would do. Its own checks of a packet that comes in are made elsewhere, each for itself; where it
    /// refuses for one of them, it is asked as if the packet were its own.
    fn ask(
        &mut self,
        netns: NetnsInode,
        destination: IpAddr,
        source: Option<IpAddr>,
        input: Option<Ifindex>,
    ) -> Option<RouteAnswer> {
        let asked = self.machine.route(netns, RouteQuery { destination, source, input })?;
        if let Ok(found @ RouteAnswer::Found(_)) = asked {
            return Some(found);
        }
        if input.is_none() && source.is_none() {
            return asked.ok();
        }
        let bare = RouteQuery { destination, source: None, input: None };
        let bare = self.machine.route(netns, bare)?.ok();
        match (asked, bare) {
            // Rules by source address or device may forbid what is allowed to others.
            (Ok(RouteAnswer::Refused(refusal @ (Refusal::Blackhole | Refusal::Prohibited))), None) => {
                Some(RouteAnswer::Refused(refusal))
            }
            (_, bare) => bare,
        }
    }

    /// The address that a packet of the namespace's own leaves a device with (`inet_select_addr`).
    pub(super) fn own_address(&mut self, netns: NetnsInode, device: Ifindex, next_hop: IpAddr) -> Option<IpAddr> {
        let view = self.machine.view(netns)?;
        let of_family = |own: &&crate::netlink::Address| own.address.is_ipv6() == next_hop.is_ipv6();
        let mut all = view.addresses_of(device).filter(of_family).filter(|own| !is_link_local(own.address));
        let near = all.clone().find(|own| own.covers(next_hop));
        near.or_else(|| all.next()).map(|own| own.address)
    }
}
