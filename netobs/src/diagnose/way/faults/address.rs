//! No route, because no address brings one along.

use std::net::IpAddr;

use crate::diagnose::typed::word;
use crate::diagnose::way::mended::ThoughtRoute;
use crate::diagnose::way::segment::{Segment, is_link_local};
use crate::diagnose::way::walker::Walker;
use crate::diagnose::{Finding, Force, Rung};
use crate::netlink::{Address, within};
use crate::netns::NetnsInode;

impl Walker<'_> {
    /// An address for itself, such as 10.0.0.2/32, brings no route to its neighbours along.
    pub(super) fn address_has_no_net(&mut self, netns: NetnsInode, to: IpAddr) -> bool {
        let Some(view) = self.machine.view(netns) else { return false };
        let single = if to.is_ipv6() { 128 } else { 32 };
        let lonely: Vec<_> = view
            .addresses
            .iter()
            .filter(|own| own.prefix_length == single && own.address.is_ipv6() == to.is_ipv6())
            .filter(|own| view.link(own.ifindex).is_some_and(|link| !link.loopback))
            .cloned()
            .collect();
        for own in lonely {
            let Some(net) = self.neighbours_net(netns, &own) else { continue };
            let (name, device) = (self.name(netns), self.device(netns, own.ifindex));
            let Address { address, ifindex, .. } = own;
            let (length, theirs) = net;
            self.mended.add_route(ThoughtRoute { netns, net: address, length, gateway: None, device: ifindex });
            let word_device = word(&device).into_owned();
            let mut fix = vec![
                self.machine.ip(netns, &format!("address del {address}/{single} dev {word_device}")),
                self.machine.ip(netns, &format!("address add {address}/{length} dev {word_device}")),
            ];
            let router = self.find_router(netns, to, Some(ifindex)).filter(|_| !within(to, address, length));
            if let Some(router) = router {
                fix.push(self.default_route(netns, router.address));
                self.takes_default(netns, ifindex, router.address);
            }
            let finding = Finding {
                cause: "address-without-prefix",
                rung: Rung::Address,
                force: Force::Stops,
                sentence: format!(
                    "{name}'s address {address} has prefix length {single} where its neighbours have {length}: no net \
                     comes with it, so {name} has no route to anybody."
                ),
                culprit: self.culprit(netns, format!("{address}/{single} on {device}")),
                evidence: vec![
                    format!("{device} in {name} has {address}/{single}"),
                    format!("on the same link, {theirs}"),
                    format!("{name} has no route to {to}"),
                ],
                fix,
                hints: vec![
                    "`ip address add` without a prefix length means one address and no net; a gateway cannot be added \
                     then, either: \"Nexthop has invalid gateway\""
                        .to_owned(),
                ],
            };
            self.found(finding);
            return self.mended.route(netns, to).is_some();
        }
        false
    }

    /// The prefix length that neighbours on an address' link have around it, and who has it.
    fn neighbours_net(&mut self, netns: NetnsInode, own: &Address) -> Option<(u8, String)> {
        let mut segment = Segment::of(self.machine, &self.mended, netns, own.ifindex);
        let mut found = None;
        for _ in 0..64 {
            let Some(station) = segment.next_station() else { break };
            let Some(view) = segment.machine().view(station.netns) else { continue };
            let near = view.addresses_of(station.link).find(|their| {
                station.netns != netns && their.prefix_length < own.prefix_length && their.covers(own.address)
            });
            if let Some(near) = near {
                let theirs = (station.netns, station.link, near.address, near.prefix_length);
                found = Some(theirs);
                break;
            }
        }
        let (other, link, address, length) = found?;
        Some((length, format!("{} has {address}/{length}", self.device_in(other, link))))
    }

    /// No device, or no address.
    pub(super) fn nothing_to_send_by(&mut self, netns: NetnsInode, to: IpAddr) -> bool {
        let Some(view) = self.machine.view(netns) else { return false };
        let name = self.name(netns);
        let of_family = |own: &&Address| own.address.is_ipv6() == to.is_ipv6() && !is_link_local(own.address);
        let devices: Vec<_> = view.links.iter().filter(|link| !link.loopback).map(|link| &link.name).collect();
        let used = |own: &Address| view.link(own.ifindex).is_some_and(|link| !link.loopback);
        let kind = if to.is_ipv6() { "IPv6" } else { "IPv4" };
        let (cause, rung, sentence, what) = if devices.is_empty() {
            let sentence = format!("{name} has no network device but lo: it is joined to nothing.");
            ("no-device", Rung::Link, sentence, "no device but lo")
        } else if !view.addresses.iter().any(|own| of_family(&own) && used(own)) {
            let sentence =
                format!("None of {name}'s devices has an {kind} address: it cannot send to {to}, or answer.");
            ("address-missing", Rung::Address, sentence, "no address")
        } else {
            return false;
        };
        let names: Vec<_> = devices.iter().map(|name| name.as_str()).collect();
        let evidence = vec![format!(
            "devices of {name} besides lo: {}",
            if names.is_empty() { "none".into() } else { names.join(", ") }
        )];
        let culprit = self.culprit(netns, what.to_owned());
        let finding = Finding {
            cause,
            rung,
            force: Force::Stops,
            sentence,
            culprit,
            evidence,
            fix: Vec::new(),
            hints: Vec::new(),
        };
        self.found(finding);
        true
    }
}
