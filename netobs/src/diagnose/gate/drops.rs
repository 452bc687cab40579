//! Rules that drop the packet, told to a person.

use std::env;
use std::fs;

use super::keeper;
use super::pass::{Hop, Place};
use super::traveller::Traveller;
use crate::diagnose::typed::{in_netns, word};
use crate::diagnose::{Culprit, Finding, Force, Rung};
use crate::event::Tuple;
use crate::rules::{Backend, Deed, InetHook, Rule};

/// The finding about rules that drop the traveller. `undecided`: they only may, and why that cannot be told.
pub(super) fn finding(
    place: &Place<'_>,
    hop: &Hop<'_>,
    traveller: &Traveller,
    rules: &[Rule],
    undecided: Option<&[String]>,
) -> Option<Finding> {
    let rule = rules.first()?;
    let Place { netns, .. } = place;
    let hook = hop.hook.name();
    let shown = traveller.shown();
    let verb = if rule.deed == Deed::Reject { "rejects" } else { "drops" };
    let who = if rule.policy { policy(rule) } else { format!("the rule `{rule}`") };
    let bridge = bridge_setting(traveller);
    let sentence = match (undecided, hop.bridged) {
        (Some(_), _) => format!(
            "{netns} may drop {shown} at its {hook} hook, by {who}: whether it does, the rules alone do not tell."
        ),
        (None, None) if rule.policy => {
            format!("{netns} drops {shown} at its {hook} hook: {who}, and no rule accepts the packet before.")
        }
        (None, None) => format!("A rule in {netns} {verb} {shown} at its {hook} hook: `{rule}`."),
        (None, Some((from, to))) => format!(
            "In {netns} {shown} only crosses a bridge, from {from} to {to}, and yet the IP firewall {verb} it: {who}, \
             and {bridge} is 1."
        ),
    };
    let mut evidence = vec![format!("{} in {netns} has {rule}", tool(rule)), way(hop, traveller)];
    evidence.extend(rules.iter().skip(1).map(|rule| format!("or it is {rule}")));
    evidence.extend(undecided.into_iter().flatten().map(|line| format!("cannot be told: {line}")));
    let mut hints = Vec::new();
    let fix = if hop.bridged.is_some() && undecided.is_none() {
        hints.push(format!(
            "Docker and Kubernetes want {bridge}=1, and may set it again; then accept the packet instead: {}",
            acceptance(netns, rule, traveller)
        ));
        vec![in_netns(netns, &format!("sysctl -w {bridge}=0"))]
    } else {
        if rule.policy {
            hints.push(format!(
                "to let only these packets through, and their answers: {}",
                acceptance(netns, rule, traveller)
            ));
        }
        vec![in_netns(netns, &removal(rule))]
    };
    if hop.hook == InetHook::Forward && hop.bridged.is_none() {
        hints.push(format!(
            "that {netns} itself answers a ping says nothing here: what is for itself passes the input hook, not forward"
        ));
    }
    hints.extend(keeper::hint(place.rules, rule, traveller));
    Some(Finding {
        cause: cause(hop, rule),
        rung: Rung::Rules,
        force: if undecided.is_some() || !traveller.is_certain() { Force::MayStop } else { Force::Stops },
        sentence,
        culprit: Culprit { netns: Some((*netns).to_owned()), what: rule.to_string() },
        evidence,
        fix,
        hints,
    })
}

fn cause(hop: &Hop<'_>, rule: &Rule) -> &'static str {
    match (hop.bridged, hop.hook, rule.policy) {
        (Some(_), ..) => "bridge-netfilter-drop",
        (None, InetHook::Prerouting, true) => "prerouting-policy-drop",
        (None, InetHook::Prerouting, false) => "prerouting-rule-drop",
        (None, InetHook::Input, true) => "input-policy-drop",
        (None, InetHook::Input, false) => "input-rule-drop",
        (None, InetHook::Forward, true) => "forward-policy-drop",
        (None, InetHook::Forward, false) => "forward-rule-drop",
        (None, InetHook::Output, true) => "output-policy-drop",
        (None, InetHook::Output, false) => "output-rule-drop",
        (None, InetHook::Postrouting, true) => "postrouting-policy-drop",
        (None, InetHook::Postrouting, false) => "postrouting-rule-drop",
    }
}

/// `the chain forward of table ip firewall has the policy drop`
fn policy(rule: &Rule) -> String {
    format!("the policy of chain {} in table {} {} is drop", rule.chain, rule.family, rule.table)
}

/// Where it went in and out: what rules go by.
fn way(hop: &Hop<'_>, traveller: &Traveller) -> String {
    let device = |which: &str, name: Option<&str>| name.map(|name| format!(", {which} {name}")).unwrap_or_default();
    let shown = traveller.shown();
    format!("{shown}{}{}, meets the {} hook", device("in by", hop.iif), device("out by", hop.oif), hop.hook.name())
}

fn bridge_setting(traveller: &Traveller) -> &'static str {
    match traveller.is_ipv6() {
        true => "net.bridge.bridge-nf-call-ip6tables",
        false => "net.bridge.bridge-nf-call-iptables",
    }
}

/// The program that shows the rule, by the name under which this machine has it.
fn tool(rule: &Rule) -> String {
    let plain = if rule.family == "ip6" { "ip6tables" } else { "iptables" };
    match rule.backend {
        Backend::Nft => "nft".to_owned(),
        Backend::IptablesNft if leads_to(plain, "nft") => plain.to_owned(),
        Backend::IptablesLegacy if leads_to(plain, "legacy") => plain.to_owned(),
        Backend::IptablesNft => format!("{plain}-nft"),
        Backend::IptablesLegacy => format!("{plain}-legacy"),
    }
}

/// Whether that name in PATH is a link to iptables of that kind.
fn leads_to(name: &str, kind: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    let real = found.and_then(|file| fs::canonicalize(file).ok());
    real.and_then(|file| Some(file.file_name()?.to_str()?.contains(kind))).unwrap_or(false)
}

/// `-t TABLE `, where it is not the one that iptables takes by itself.
fn table(rule: &Rule) -> String {
    if rule.table == "filter" { String::new() } else { format!("-t {} ", word(&rule.table)) }
}

/// The command that takes a rule away, or its chain's policy back.
pub(super) fn removal(rule: &Rule) -> String {
    let (tool, chain) = (tool(rule), word(&rule.chain));
    match (rule.backend, rule.handle, rule.position) {
        (Backend::Nft, Some(handle), _) => {
            format!("nft delete rule {} {} {chain} handle {handle}", rule.family, word(&rule.table))
        }
        (Backend::Nft, None, _) => {
            format!("nft add chain {} {} {chain} '{{ policy accept ; }}'", rule.family, word(&rule.table))
        }
        (_, _, Some(position)) => format!("{tool} {}-D {chain} {position}", table(rule)),
        (_, _, None) => format!("{tool} {}-P {chain} ACCEPT", table(rule)),
    }
}

/// The commands that let the traveller through ahead of the rule, and its answer.
fn acceptance(netns: &str, rule: &Rule, traveller: &Traveller) -> String {
    let Tuple { src, dst, dport, .. } = traveller.asking();
    let part = |key: &str, value: Option<String>| value.map(|value| format!("{key} {value} ")).unwrap_or_default();
    let (src, dst) = (src.map(|address| address.to_string()), dst.map(|address| address.to_string()));
    let (chain, proto) = (word(&rule.chain), traveller.protocol().name());
    let (start, these, answers) = match rule.backend {
        Backend::Nft => {
            let family = if traveller.is_ipv6() { "ip6" } else { "ip" };
            let port = part(&format!("{proto} dport"), dport.map(|port| port.to_string()));
            let (from, to) = (part(&format!("{family} saddr"), src), part(&format!("{family} daddr"), dst));
            (
                format!("nft insert rule {} {} {chain}", rule.family, word(&rule.table)),
                format!("{from}{to}{port}accept"),
                "ct state established,related accept",
            )
        }
        Backend::IptablesNft | Backend::IptablesLegacy => {
            let port = part(&format!("-p {proto} --dport"), dport.map(|port| port.to_string()));
            (
                format!("{} {}-I {chain}", tool(rule), table(rule)),
                format!("{}{}{port}-j ACCEPT", part("-s", src), part("-d", dst)),
                "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
            )
        }
    };
    [these.as_str(), answers].map(|rest| in_netns(netns, &format!("{start} {rest}"))).join(" && ")
}
