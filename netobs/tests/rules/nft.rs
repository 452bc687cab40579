//! Rules of nft.

use netobs::rules::{Backend, Dropper, Finding};
use serde_json::Value;

use crate::network::{Kind, Network, To, foretold};
use crate::random::Random;

const BOTH: [To; 2] = [To::Beyond, To::Router];

fn load(net: &Network, text: &str) {
    // nft wants a line's end after each closing brace of a block.
    let text = text.replace("} }", "}\n}").replace("} }", "}\n}").replace("} chain", "}\nchain");
    net.feed(&["nft", "-f", "-"], &format!("flush ruleset\n{text}"));
}

/// What counted: rules that end a packet's way by their handle, and the last rule of a base chain with a policy.
fn risen(net: &Network) -> Vec<String> {
    let text = net.exec("r", &["nft", "-j", "list", "ruleset"]).good().stdout;
    let document: Value = serde_json::from_str(&text).unwrap();
    let objects = document["nftables"].as_array().unwrap();
    let mut risen = Vec::new();
    for rule in objects.iter().filter_map(|object| object.get("rule")) {
        let statements = rule["expr"].as_array().unwrap();
        let counted = statements.iter().any(|s| s["counter"]["packets"].as_u64().is_some_and(|packets| packets > 0));
        if !counted {
            continue;
        }
        let has = |kind: &str| statements.iter().any(|s| s.get(kind).is_some());
        let chain = || {
            objects
                .iter()
                .filter_map(|object| object.get("chain"))
                .find(|c| c["name"] == rule["chain"] && c["table"] == rule["table"])
        };
        if has("drop") || has("reject") {
            risen.push(format!("{} {} {}", rule["table"], rule["chain"], rule["handle"]));
        } else if rule["comment"] == "end" && chain().is_some_and(|chain| chain["policy"] == "drop") {
            risen.push(format!("{} {} policy", rule["table"], rule["chain"]));
        }
    }
    risen
}

fn named(finding: &Finding) -> Option<String> {
    finding.rule.as_ref().map(|rule| match rule.handle {
        Some(handle) => format!("{:?} {:?} {handle}", rule.table, rule.chain),
        None => format!("{:?} {:?} policy", rule.table, rule.chain),
    })
}

/// Sends a packet, and the rule that is named is the one that counted, with this text.
#[track_caller]
fn check(net: &Network, to: To, kind: Kind, ipv6: bool, text: Option<&str>) {
    let (packet, hook) = net.send(to, kind, ipv6);
    let finding = net.rules().dropped(&packet, hook, Dropper::Unknown);
    assert_eq!(Vec::from_iter(named(&finding)), risen(net), "{finding:#?}");
    assert_eq!(finding.rule.as_ref().map(|rule| rule.text.as_str()), text);
}

#[test]
fn names_a_rule_behind_a_set_a_map_and_a_jump() {
    let Some(net) = Network::new("names_a_rule_behind_a_set_a_map_and_a_jump", &[]) else { return };
    let mut text = "table inet fw {
        set bad { type ipv4_addr; flags interval; elements = { 10.7.0.0/16, 10.1.0.1-10.1.0.5 } }
        map way { type inet_service : verdict; }
        chain web { ip saddr @bad counter drop; return; }
        chain dns { udp dport { 53, 5353 } counter log prefix \"dns \" drop; }
        chain c {
            type filter hook forward priority filter; policy accept;
            ct state vmap { established : accept, related : accept }
            tcp dport vmap @way
            udp dport vmap { 53 : jump dns, 67-68 : accept }\n"
        .to_owned();
    for number in 0..200 {
        text += &format!("ip saddr 10.9.0.{number} tcp dport {} counter drop\n", 1000 + number);
    }
    text += "ip6 saddr fd01::/64 meta l4proto . th dport { tcp . 80 } counter drop\n} }
        add element inet fw way { 80 : jump web, 22 : accept }";
    load(&net, &text);
    check(&net, To::Beyond, Kind::Tcp(4000, 80), false, Some("ip saddr @bad counter drop"));
    load(&net, &text);
    let dns = "udp dport { 53, 5353 } counter log prefix \"dns \" drop";
    check(&net, To::Beyond, Kind::Udp(4000, 53), false, Some(dns));
    load(&net, &text);
    let six = "ip6 saddr fd01::/64 meta l4proto . th dport { tcp . 80 } counter drop";
    check(&net, To::Beyond, Kind::Tcp(4000, 80), true, Some(six));
    load(&net, &text);
    check(&net, To::Beyond, Kind::Tcp(4000, 22), false, None);
}

#[test]
fn a_verdict_map_drops_by_itself() {
    let Some(net) = Network::new("a_verdict_map_drops_by_itself", &[]) else { return };
    load(
        &net,
        "table ip t { chain c { type filter hook forward priority 0;
            ip saddr . udp dport vmap { 10.1.0.0/24 . 50-60 : drop, 10.1.0.0/24 . 80 : accept } } }",
    );
    let (packet, hook) = net.send(To::Beyond, Kind::Udp(4000, 53), false);
    let rule = net.rules().dropped(&packet, hook, Dropper::Unknown).rule.unwrap();
    assert!(rule.text.starts_with("ip saddr . udp dport vmap"), "{rule:?}");
    assert_eq!((rule.backend, rule.position), (Backend::Nft, Some(1)));
    let (packet, hook) = net.send(To::Beyond, Kind::Udp(4000, 80), false);
    assert_eq!(net.rules().dropped(&packet, hook, Dropper::Unknown), Finding::default());
}

#[test]
fn policies_and_priorities() {
    let Some(net) = Network::new("policies_and_priorities", &[]) else { return };
    let text =
        "table inet a { chain late { type filter hook forward priority 10; policy drop; counter comment \"end\"; } }
        table ip b { chain early { type filter hook forward priority -10; udp dport 53 counter drop; accept; } }
        table ip6 c { chain other { type filter hook forward priority -20; counter drop; } }
        table inet d { flags dormant; chain asleep { type filter hook forward priority -30; counter drop; } }";
    load(&net, text);
    check(&net, To::Beyond, Kind::Udp(4000, 53), false, Some("udp dport 53 counter drop"));
    load(&net, text);
    check(&net, To::Beyond, Kind::Udp(4000, 80), false, Some("policy drop"));
    // Two of one priority, either of which may have come first.
    let text = "table inet a { chain one { type filter hook forward priority 0; udp dport 53 counter drop; } }
        table inet b { chain other { type filter hook forward priority 0; udp dport 53 counter drop; } }";
    load(&net, text);
    let (packet, hook) = net.send(To::Beyond, Kind::Udp(4000, 53), false);
    let finding = net.rules().dropped(&packet, hook, Dropper::Unknown);
    assert_eq!((finding.rule, finding.candidates.len()), (None, 2));
    assert!(finding.undecided[0].contains("inet a one, inet b other"), "{:?}", finding.undecided);
}

#[test]
fn what_cannot_be_decided_leaves_candidates() {
    let Some(net) = Network::new("what_cannot_be_decided_leaves_candidates", &[]) else { return };
    let wrap = |rules: &str| {
        format!(
            "table inet t {{ set seen {{ type ipv4_addr; flags dynamic; size 9; }} \
                 chain c {{ type filter hook forward priority 0;\n{rules}\n}} }}"
        )
    };
    for (rules, candidates, word) in [
        ("limit rate over 1/hour burst 1 packets counter drop", 1, "limit"),
        ("limit rate 1/hour burst 1 packets accept\nudp dport 53 counter drop", 1, "limit"),
        ("numgen random mod 2 0 counter drop\ncounter drop", 2, "numgen"),
        ("add @seen { ip saddr }\nip saddr @seen counter drop", 1, "ip saddr"),
        ("ip ttl < 70 counter drop", 1, "ip ttl"),
    ] {
        load(&net, &wrap(rules));
        net.send(To::Beyond, Kind::Udp(4001, 53), false);
        let (packet, hook) = net.send(To::Beyond, Kind::Udp(4000, 53), false);
        let finding = net.rules().dropped(&packet, hook, Dropper::Unknown);
        assert_eq!((&finding.rule, finding.candidates.len()), (&None, candidates), "{rules}: {finding:#?}");
        assert!(finding.undecided[0].contains(word), "{rules}: {finding:#?}");
        // A drop inside nft_do_chain comes from a rule or a policy: the only one that can have done it is a fact.
        let finding = net.rules().dropped(&packet, hook, Dropper::NftRule);
        assert_eq!(finding.rule.is_some(), candidates == 1, "{rules}: {finding:#?}");
    }
}

#[test]
fn a_large_rule_set_is_followed_to_its_end() {
    let Some(net) = Network::new("a_large_rule_set_is_followed_to_its_end", &[]) else { return };
    let mut text = "table inet t { chain c { type filter hook forward priority 0;\n".to_owned();
    for number in 0..5000 {
        text +=
            &format!("ip saddr 10.{}.{}.9 udp dport {{ 53, 80-90 }} counter drop\n", 50 + number / 250, number % 250);
    }
    text += "udp dport 53 counter drop\n} }";
    load(&net, &text);
    check(&net, To::Beyond, Kind::Udp(4000, 53), false, Some("udp dport 53 counter drop"));
}

/// Random rule sets: what is named is what counted.
#[test]
fn agrees_with_the_counters() {
    if crate::common::takes_too_long("nft::agrees_with_the_counters") {
        return;
    }
    let Some(net) = Network::new("nft::agrees_with_the_counters", &[]) else { return };
    let mut random = Random::new(7);
    let mut drops = 0;
    for round in 0..120 {
        let ipv6 = round % 4 == 3;
        // Conditions that exclude each other are refused; others are drawn then.
        let text = loop {
            let text = random_rules(&mut random);
            if net.offer(&["nft", "-f", "-"], &format!("flush ruleset\n{text}")).is_ok() {
                break text;
            }
        };
        // Each is a flow of its own: rules set marks, which stay with a flow.
        let ports = (*random.one(&[4000, 5000]) + round, *random.one(&[53, 80, 443]));
        let kinds = [Kind::Udp(ports.0, ports.1), Kind::Tcp(ports.0, ports.1)];
        let (packet, hook) = net.send(*random.one(&BOTH), *random.one(&kinds), ipv6);
        let risen = risen(&net);
        let rules = net.rules();
        let finding = rules.dropped(&packet, hook, Dropper::Unknown);
        assert_eq!(Vec::from_iter(named(&finding)), risen, "{packet:?} {finding:#?}\n{text}");
        assert_eq!(rules.passes(&packet, hook, None).end, foretold(&finding), "{packet:?}\n{text}");
        assert!(finding.undecided.is_empty(), "{finding:#?}\n{text}");
        drops += risen.len();
    }
    assert!(drops > 30, "only {drops} packets were dropped: the rules are no test");
}

const CONDITIONS: &[&str] = &[
    "tcp dport 80",
    "udp dport != 80",
    "th dport 53-100",
    "tcp dport { 53, 80-90 }",
    "udp dport != { 53, 80-90 }",
    "udp sport < 4500",
    "tcp flags syn / fin,syn,rst,ack",
    "tcp flags & (syn | ack) == syn | ack",
    "tcp flags syn,rst",
    "meta l4proto { tcp, udp }",
    "meta l4proto udp",
    "ip protocol tcp",
    "ip6 nexthdr udp",
    "meta nfproto ipv6",
    "meta protocol ip",
    "ip saddr 10.1.0.2",
    "ip saddr != 10.1.0.0/24",
    "ip daddr { 10.2.0.0/16, 10.9.0.1-10.9.0.9 }",
    "ip daddr @own",
    "ip saddr != @own",
    "ip saddr & 255.0.0.255 == 10.0.0.2",
    "ip6 saddr fd01::/64",
    "ip6 daddr != { fd02::2, fd03::/16 }",
    "ip saddr . th dport { 10.1.0.2 . 80, 10.1.0.0/24 . 53 }",
    "ip saddr . ip daddr . meta l4proto @three",
    "iifname \"ra\"",
    "iifname != \"ra\"",
    "iifname { \"ra\", \"x*\" }",
    "iif \"ra\"",
    "oifname \"r*\"",
    "oifname != \"rb\"",
    "ct state new",
    "ct state != new",
    "ct state established,related",
    "ct state { new, untracked }",
    "ct direction original",
    "ct direction reply",
    "ct status dnat",
    "ct mark 0",
    "ct original ip saddr 10.1.0.2",
    "meta l4proto tcp ct original proto-dst 80",
    "meta mark 1",
    "meta mark & 0x3 != 1",
    "fib daddr type local",
    "fib daddr type != local",
    "meta nfproto ipv4 fib saddr type { unicast, broadcast }",
    "meta mark set 1",
    "meta mark set meta mark | 2 th dport 80",
    "ct mark set 5",
];

/// Two tables of different priorities, each with two base chains and three to jump to.
fn random_rules(random: &mut Random) -> String {
    let mut text = String::new();
    for (table, priority) in [("one", -10), ("two", 10)] {
        text += &format!(
            "table inet {table} {{
            set own {{ type ipv4_addr; flags interval; elements = {{ 10.1.0.0/30, 10.2.0.1 }} }}
            set three {{ type ipv4_addr . ipv4_addr . inet_proto; elements = {{ 10.1.0.2 . 10.2.0.2 . tcp }} }}\n"
        );
        for index in (0..5).rev() {
            let chain = ["input", "forward", "u0", "u1", "u2"][index];
            text += &format!("chain {chain} {{\n");
            if index < 2 {
                let policy = random.one(&["accept", "drop", "accept"]);
                text += &format!("type filter hook {chain} priority {priority}; policy {policy};\n");
                text += "meta l4proto { icmp, ipv6-icmp } accept\ntcp flags & rst == rst accept\n";
            }
            let later = &["input", "forward", "u0", "u1", "u2"][(index + 1).max(2)..];
            for _ in 0..random.below(7) {
                let mut rule = String::new();
                for _ in 0..random.below(3) {
                    let more = random.one(CONDITIONS);
                    let mixed = |one: &str, other: &str| rule.contains(one) && more.contains(other);
                    let excluded = [("ip ", "ip6"), ("ipv", "ip"), ("tcp", "udp"), ("ip", "ipv"), ("ip6", "ip ")];
                    if !excluded.iter().any(|(one, other)| mixed(one, other) || mixed(other, one)) {
                        rule += &format!("{more} ");
                    }
                }
                text += &match random.below(9) {
                    0 | 1 => format!("{rule}counter drop"),
                    2 => format!("{rule}accept"),
                    3 if index >= 2 => format!("{rule}return"),
                    4 => format!("{rule}counter reject"),
                    5 | 6 if !later.is_empty() => format!("{rule}jump {}", random.one(later)),
                    7 if index >= 2 && !later.is_empty() => format!("{rule}goto {}", random.one(later)),
                    8 if !later.is_empty() => {
                        let to = random.one(later);
                        format!("{rule}th dport vmap {{ 53 : jump {to}, 80-100 : continue, 443 : accept }}")
                    }
                    _ => format!("{rule}counter"),
                };
                text += "\n";
            }
            if index < 2 {
                text += "counter comment \"end\"\n";
            }
            text += "}\n";
        }
        text += "}\n";
    }
    text
}
