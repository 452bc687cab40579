//! Namespaces that do not pass a packet on, or distrust where it comes from.

use std::net::IpAddr;

use crate::diagnose::machine::sysctl_name;
use crate::diagnose::way::walker::Walker;
use crate::diagnose::{Finding, Force, Rung};
use crate::netlink::{Ifindex, RouteAnswer};
use crate::netns::NetnsInode;

impl Walker<'_> {
    /// Whether a namespace passes on what comes in by a device.
    pub(in crate::diagnose::way) fn forwards(&mut self, netns: NetnsInode, device: Ifindex, to: IpAddr) {
        let (name, device) = (self.name(netns), self.device(netns, device));
        let (all, own) = match to {
            IpAddr::V4(_) => ("ipv4/ip_forward".to_owned(), format!("ipv4/conf/{device}/forwarding")),
            // IPv6 asks the global one, whatever the device's says (`ip6_forward`).
            IpAddr::V6(_) => ("ipv6/conf/all/forwarding".to_owned(), "ipv6/conf/all/forwarding".to_owned()),
        };
        self.machine.sysctls(netns, &[&all, &own]);
        let (global, here) = (self.machine.number(netns, &all), self.machine.number(netns, &own));
        let forced = to.is_ipv6()
            && self.machine.number(netns, &format!("ipv6/conf/{device}/force_forwarding")).is_some_and(|on| on != 0);
        if here != Some(0) || forced {
            if let Some(here) = here {
                self.step(Rung::Forwarding, Some(true), format!("{name} forwards: {} is {here}", sysctl_name(&own)));
            }
            return;
        }
        let only_here = global.is_some_and(|on| on != 0);
        let (cause, key) = if only_here { ("forwarding-off", &own) } else { ("ip-forward-off", &all) };
        let key_name = sysctl_name(key);
        let mut evidence = vec![format!("{key_name} is 0 in {name}")];
        evidence.push(format!("{to} is none of {name}'s addresses, so {} has to be forwarded", self.subject()));
        let finding = Finding {
            cause,
            rung: Rung::Forwarding,
            force: Force::Stops,
            sentence: format!(
                "{name} does not forward: {key_name} is 0, so {} for {to}, which comes in by {device}, is dropped there \
                 without a word.",
                self.subject()
            ),
            culprit: self.culprit(netns, format!("{key_name}=0")),
            evidence,
            fix: vec![self.machine.command(netns, &format!("sysctl -w {key_name}=1"))],
            hints: vec![format!(
                "{name} still answers a ping to its own address: what is for itself needs no forwarding"
            )],
        };
        self.found(finding);
    }

    /// Whether a namespace takes a packet from where it comes (`fib_validate_source`).
    pub(in crate::diagnose::way) fn source_is_trusted(
        &mut self,
        netns: NetnsInode,
        device: Ifindex,
        source: Option<IpAddr>,
        to: IpAddr,
    ) {
        if let Some(source) = source {
            self.source_is_own(netns, device, source);
        }
        // IPv6 has no such filter but by rules.
        let Some(source @ IpAddr::V4(_)) = source else { return };
        let (name, device_name) = (self.name(netns), self.device(netns, device));
        let [all, own] = ["all", &device_name].map(|device| format!("ipv4/conf/{device}/rp_filter"));
        self.machine.sysctls(netns, &[&all, &own]);
        let (global, here) = (self.machine.number(netns, &all), self.machine.number(netns, &own));
        let (Some(global), Some(here)) = (global, here) else { return };
        let holds = global.max(here);
        if holds == 0 {
            return;
        }
        let Some(view) = self.machine.view(netns) else { return };
        let answer = self.machine.matching(netns, source, Some(to).filter(|to| view.owns(*to)));
        let (devices, prefix, local) = match answer {
            Some(RouteAnswer::Found(found)) => {
                let prefix = found
                    .destination
                    .map_or_else(|| "the default route".to_owned(), |net| format!("{net}/{}", found.prefix_length));
                (found.devices, prefix, found.local)
            }
            Some(RouteAnswer::Refused(_)) => (Vec::new(), String::new(), false),
            None => return,
        };
        // What was mended counts: a route that is missing is a fault of its own.
        let mended = match self.mended.route(netns, source) {
            Some(thought) => thought.device == device,
            None => false,
        };
        if mended || local || devices.contains(&device) || (holds == 2 && !devices.is_empty()) {
            return;
        }
        if devices.is_empty() {
            // Without a route to the source the way back says so, with its own cause.
            return;
        }
        let way: Vec<String> = devices.iter().map(|device| view.device(*device)).collect();
        let way = way.join(" or ");
        let key = if global == 1 { &all } else { &own };
        let key_name = sysctl_name(key);
        let mut hints = vec!["the counter is TcpExtIPReversePathFilter (`nstat -az`); nothing is logged".to_owned()];
        if here != holds {
            hints.insert(
                0,
                format!(
                    "{} is {here}, and does not help: the greater of all's and the device's holds",
                    sysctl_name(&own)
                ),
            );
        }
        let finding = Finding {
            cause: "rp-filter-strict",
            rung: Rung::Forwarding,
            force: Force::Stops,
            sentence: format!(
                "{name} distrusts {}: it comes from {source} by {device_name}, but {name} itself would reach {source} \
                 by {way}, and its reverse path filter is strict.",
                self.subject()
            ),
            culprit: self.culprit(netns, format!("{key_name}={holds}")),
            evidence: vec![
                format!("rp_filter in {name}: all {global}, {device_name} {here}; the greater holds, {holds} (strict)"),
                format!("`ip route get {source}` in {name}: {prefix} by {way}"),
            ],
            fix: vec![self.machine.command(netns, &format!("sysctl -w {key_name}=2"))],
            hints,
        };
        self.found(finding);
    }

    /// Nobody takes a packet from outside that has one of its own addresses as its source (`fib_validate_source`).
    fn source_is_own(&mut self, netns: NetnsInode, device: Ifindex, source: IpAddr) {
        let Some(view) = self.machine.view(netns).filter(|view| view.owns(source)) else { return };
        if view.link(device).is_some_and(|link| link.loopback) || self.mended.is_taken_away(netns, source) {
            return;
        }
        // That somebody else has the address, too, is told by who asks for it.
        let Some(sender) = self.stages.first().filter(|stage| stage.netns == netns) else { return };
        if sender.tuple_in.src != Some(source) {
            return;
        }
        let (name, device) = (self.name(netns), self.device(netns, device));
        let finding = Finding {
            cause: "hairpin-not-masqueraded",
            rung: Rung::Nat,
            force: Force::Stops,
            sentence: format!(
                "{name} gets back what it sent itself, with its own address {source} as the source, and drops it: a \
                 packet from outside cannot come from here."
            ),
            culprit: self.culprit(netns, format!("source {source} comes in by {device}")),
            evidence: vec![format!("{source} is {name}'s own, and comes in by {device}")],
            fix: Vec::new(),
            hints: vec!["whoever turns the packet round has to rewrite its source, too (masquerade)".to_owned()],
        };
        self.found(finding);
    }

    /// A packet that never arrives.
    pub(in crate::diagnose::way) fn goes_in_circles(&mut self, netns: NetnsInode, to: Option<IpAddr>) {
        let mut round: Vec<String> = Vec::new();
        for stage in self.stages.iter().rev() {
            if round.contains(&stage.name) {
                break;
            }
            round.push(stage.name.clone());
        }
        round.reverse();
        let to = to.map_or_else(|| "its destination".to_owned(), |to| to.to_string());
        let finding = Finding {
            cause: "routing-loop",
            rung: Rung::Route,
            force: Force::Stops,
            sentence: format!(
                "{} for {to} goes in circles, {}, until its time to live is over: each sends it to the next, and nobody \
                 has the address.",
                if self.subject() == "the packet" { "The packet" } else { "The answer" },
                round.join(" → ")
            ),
            culprit: self.culprit(netns, format!("route to {to}")),
            evidence: round.iter().map(|name| format!("{name} forwards {to} to the next")).collect(),
            fix: Vec::new(),
            hints: vec!["traceroute shows the same addresses again and again".to_owned()],
        };
        self.found(finding);
    }

    /// Where the namespace would send an answer to.
    pub(super) fn leads_to(&mut self, netns: NetnsInode, to: IpAddr) -> Option<Ifindex> {
        match self.machine.matching(netns, to, None)? {
            RouteAnswer::Found(found) => found.devices.first().copied(),
            RouteAnswer::Refused(_) => None,
        }
    }
}
