//! Rules that rewrite too little, or too much alike.

use std::net::IpAddr;

use super::pass::{Passed, Place};
use super::traveller::Traveller;
use crate::conntrack::{Counter, Socket};
use crate::diagnose::typed::{in_netns, word};
use crate::diagnose::{Culprit, Finding, Force, Protocol, Rung};
use crate::netns::Netns;
use crate::rules::{Backend, Rules, Side};

/// A source address that left by an uplink as it was, to where nobody knows a way back to it.
#[derive(Clone, Copy, Debug)]
pub struct Unmasked<'a> {
    /// The device that it left by.
    pub uplink: &'a str,
    /// The net that it belongs to where it came from, if that is known.
    pub net: Option<(IpAddr, u8)>,
    /// Who has no way back: a namespace's name.
    pub stranger: &'a str,
    /// What is there instead of a way back: `no route to 10.40.0.2`.
    pub why: &'a str,
}

/// The finding about a flow that should have been given the source address of the namespace it left, and was not.
pub fn unmasked(place: &Place<'_>, unmasked: &Unmasked<'_>, traveller: &Traveller) -> Option<Finding> {
    let Unmasked { uplink, stranger, why, .. } = *unmasked;
    let netns = place.netns;
    let source = traveller.tuple().src?;
    let net = unmasked.net.map_or_else(|| source.to_string(), |(net, length)| format!("{net}/{length}"));
    Some(Finding {
        cause: "no-masquerade",
        rung: Rung::Nat,
        force: Force::Stops,
        sentence: format!(
            "{netns} does not rewrite the source address: the packet leaves by {uplink} with {source}, and {stranger} \
             cannot answer, because it has {why}."
        ),
        culprit: Culprit {
            netns: Some(netns.to_owned()),
            what: format!("no masquerade rule for {net} leaving by {uplink}"),
        },
        evidence: vec![
            format!("no rule of {netns} rewrites the source of {} as it leaves by {uplink}", traveller.shown()),
            format!("{stranger} has {why}"),
        ],
        fix: masquerade(place.rules, &net, source.is_ipv6(), uplink)
            .into_iter()
            .map(|command| in_netns(netns, &command))
            .collect(),
        hints: vec![
            "nothing is dropped on the way out, so no counter of drops tells of it: the private source address on the \
             uplink is the sign"
                .to_owned(),
        ],
    })
}

/// The commands that add the rule, in the tool that the namespace has its other rules from.
fn masquerade(rules: &Rules, net: &str, ipv6: bool, uplink: &str) -> Vec<String> {
    if let Some(Backend::IptablesNft | Backend::IptablesLegacy) = rules.backend(ipv6) {
        let tool = if ipv6 { "ip6tables" } else { "iptables" };
        return vec![format!("{tool} -t nat -A POSTROUTING -s {net} -o {} -j MASQUERADE", word(uplink))];
    }
    let family = if ipv6 { "ip6" } else { "ip" };
    vec![
        format!("nft add table {family} nat"),
        format!("nft add chain {family} nat postrouting '{{ type nat hook postrouting priority srcnat ; }}'"),
        format!("nft add rule {family} nat postrouting {family} saddr {net} oifname {} masquerade", word(uplink)),
    ]
}

/// The finding about a rule that gives every flow the same source port: of two to the same server, one has to die.
pub fn clash(netns: &str, handle: &Netns, passed: &Passed, traveller: &Traveller) -> Option<Finding> {
    let rewrite = passed.rewrite.as_ref().filter(|rewrite| rewrite.side == Side::Source)?;
    let ports = rewrite.ports.as_ref().filter(|ports| ports.start() == ports.end())?;
    if traveller.protocol() == Protocol::Icmp {
        return None;
    }
    let port = ports.start();
    let failed = Socket::open_in(handle)
        .and_then(|mut socket| socket.statistics())
        .ok()
        .and_then(|statistics| statistics.totals().get(Counter::InsertFailed));
    let rule = &rewrite.rule;
    let mut evidence = vec![format!("the rule in {netns}: {rule}")];
    if let Some(failed) = failed {
        evidence.push(format!("conntrack -S in {netns}: insert_failed {failed}, since it exists"));
    }
    Some(Finding {
        cause: "snat-port-clash",
        rung: Rung::Nat,
        // That somebody lost is counted, but not who.
        force: if failed.is_some_and(|failed| failed > 0) { Force::Harms } else { Force::MayStop },
        sentence: format!(
            "A rule in {netns} gives every flow the one source port {port}: of all that go to the same server only one \
             works at a time, and the first packets of the others are dropped."
        ),
        culprit: Culprit { netns: Some(netns.to_owned()), what: rule.to_string() },
        evidence,
        fix: vec![in_netns(netns, &super::drops::removal(rule))],
        hints: vec![
            "a range of ports, or none at all, lets each flow have one of its own".to_owned(),
            "whoever sends in this namespace itself is told EPERM; others wait in vain".to_owned(),
        ],
    })
}
