//! Rules of iptables, in both its kinds.

use netobs::rules::{Backend, Dropper, Finding};

use crate::common::has;
use crate::network::{Kind, Network, To, foretold};
use crate::random::Random;

/// The kinds of iptables, by the middle of their programs' names.
const KINDS: [(&str, Backend); 2] = [("nft", Backend::IptablesNft), ("legacy", Backend::IptablesLegacy)];

/// Kinds that this machine has, for IPv4 or IPv6.
fn kinds(net: &Network, test: &str) -> Vec<(&'static str, Backend)> {
    let works = |kind: &str| {
        let program = format!("iptables-{kind}");
        if !has(&program) || net.exec("r", &[&program, "-t", "filter", "-L", "-n"]).status != 0 {
            crate::common::skip(test, &format!("{program} does not work here"));
            return false;
        }
        true
    };
    KINDS.into_iter().filter(|(kind, _)| works(kind)).collect()
}

fn restore(net: &Network, kind: &str, ipv6: bool, text: &str) {
    let program = format!("{}-{kind}-restore", if ipv6 { "ip6tables" } else { "iptables" });
    net.feed(&[&program], text);
}

/// Rules of the table `filter` that dropped a packet, and chains whose policy did, by their counters: `FORWARD 3`,
/// `FORWARD policy`. Both have counted nothing before.
fn risen(net: &Network, kind: &str, ipv6: bool) -> Vec<String> {
    let program = format!("{}-{kind}-save", if ipv6 { "ip6tables" } else { "iptables" });
    let text = net.exec("r", &[&program, "-c", "-t", "filter"]).good().stdout;
    let mut risen = Vec::new();
    let mut positions = std::collections::HashMap::new();
    for line in text.lines() {
        if let Some(chain) = line.strip_prefix(':') {
            if chain.contains(" DROP ") && !chain.contains("[0:0]") {
                risen.push(format!("{} policy", chain.split(' ').next().unwrap()));
            }
            continue;
        }
        let Some((counter, rule)) = line.split_once("] -A ") else { continue };
        let chain = rule.split(' ').next().unwrap();
        let position = positions.entry(chain.to_owned()).or_insert(0);
        *position += 1;
        let deadly = rule.ends_with("-j DROP") || rule.contains("-j REJECT");
        if !counter.starts_with("[0:") && deadly {
            risen.push(format!("{chain} {position}"));
        }
    }
    risen
}

fn named(finding: &Finding) -> Option<String> {
    finding.rule.as_ref().map(|rule| match rule.position {
        Some(position) => format!("{} {position}", rule.chain),
        None => format!("{} policy", rule.chain),
    })
}

#[test]
fn names_one_rule_among_two_hundred() {
    let test = "names_one_rule_among_two_hundred";
    let Some(net) = Network::new(test, &["iptables"]) else { return };
    for (kind, backend) in kinds(&net, test) {
        let mut text = "*filter\n".to_owned();
        for number in 0..200 {
            text += &format!("-A FORWARD -s 10.9.0.{number}/32 -p tcp -m tcp --dport {} -j DROP\n", 1000 + number);
            if number == 120 {
                text += "-A FORWARD -s 10.1.0.2/32 -p tcp -m tcp --dport 80 -j DROP\n";
            }
        }
        restore(&net, kind, false, &(text + "COMMIT\n"));
        let (packet, hook) = net.send(To::Beyond, Kind::Tcp(4000, 80), false);
        assert_eq!(risen(&net, kind, false), ["FORWARD 122"], "{kind}");
        let finding = net.rules().dropped(&packet, hook, Dropper::Unknown);
        let rule = finding.rule.unwrap();
        assert_eq!(rule.text, "-A FORWARD -s 10.1.0.2/32 -p tcp -m tcp --dport 80 -j DROP");
        assert_eq!((rule.position, rule.backend, rule.policy), (Some(122), backend, false));
        // What another packet meets is nothing.
        let (packet, hook) = net.send(To::Beyond, Kind::Tcp(4000, 81), false);
        assert_eq!(net.rules().dropped(&packet, hook, Dropper::Unknown), Finding::default());
        restore(&net, kind, false, "*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n");
    }
}

#[test]
fn a_limit_before_it_leaves_candidates() {
    let test = "a_limit_before_it_leaves_candidates";
    let Some(net) = Network::new(test, &["iptables"]) else { return };
    for (kind, _) in kinds(&net, test) {
        let text = "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -p udp -m limit --limit 1/hour --limit-burst 1 -j ACCEPT\n\
                    -A FORWARD -p udp -m udp --dport 53 -j DROP\nCOMMIT\n";
        restore(&net, kind, false, text);
        net.send(To::Beyond, Kind::Udp(4000, 53), false);
        let (packet, hook) = net.send(To::Beyond, Kind::Udp(4001, 53), false);
        assert_eq!(risen(&net, kind, false), ["FORWARD 2"], "{kind}");
        let finding = net.rules().dropped(&packet, hook, Dropper::Unknown);
        assert_eq!(finding.rule, None);
        assert_eq!(finding.candidates.len(), 1, "{finding:?}");
        assert!(finding.undecided[0].contains("limit"), "{finding:?}");
        restore(&net, kind, false, "*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n");
    }
}

/// `iptables-save` prints these rules of nft in its table without what they ask for.
#[test]
fn a_rule_that_nft_put_into_its_table_is_not_misread() {
    let test = "a_rule_that_nft_put_into_its_table_is_not_misread";
    let Some(net) = Network::new(test, &["iptables-nft"]) else { return };
    net.exec("r", &["iptables-nft", "-A", "FORWARD", "-s", "10.9.9.9", "-j", "DROP"]).good();
    for rule in [
        "add set ip filter bad { type ipv4_addr; elements = { 10.9.0.1 }; }",
        "add rule ip filter FORWARD ip saddr @bad drop",
        "add rule ip filter FORWARD meta l4proto udp th dport { 1, 2 } drop",
        "add rule ip filter FORWARD udp dport 53 counter drop",
        "add rule ip filter FORWARD udp dport { 80, 81 } counter drop",
    ] {
        net.exec("r", &["nft", rule]).good();
    }
    let (packet, hook) = net.send(To::Beyond, Kind::Udp(4000, 53), false);
    let rule = net.rules().dropped(&packet, hook, Dropper::Unknown).rule.unwrap();
    assert_eq!((rule.position, rule.text.as_str()), (Some(4), "-A FORWARD -p udp -m udp --dport 53 -j DROP"));
    let (packet, hook) = net.send(To::Beyond, Kind::Udp(4000, 80), false);
    let rule = net.rules().dropped(&packet, hook, Dropper::Unknown).rule.unwrap();
    assert_eq!((rule.backend, rule.text.as_str()), (Backend::Nft, "udp dport { 80, 81 } counter drop"));
    // At this one `iptables-save` gives up; nft's reading of the table stays.
    net.exec("r", &["nft", "insert rule ip filter FORWARD ip length 5 drop"]).good();
    let finding = net.rules().dropped(&packet, hook, Dropper::Unknown);
    assert_eq!((finding.rule, finding.candidates.len()), (None, 2));
}

/// Random rule sets: what is named is what counted.
#[test]
fn agrees_with_the_counters() {
    if crate::common::takes_too_long("iptables::agrees_with_the_counters") {
        return;
    }
    let test = "agrees_with_the_counters";
    let Some(net) = Network::new(test, &["iptables"]) else { return };
    let mut random = Random::new(11);
    let mut drops = 0;
    for (kind, _) in kinds(&net, test) {
        for round in 0..60 {
            let ipv6 = round % 4 == 3;
            let text = random_rules(&mut random, ipv6);
            restore(&net, kind, ipv6, &text);
            let to = *random.one(&[To::Beyond, To::Beyond, To::Router, To::FromRouter]);
            let ports = (*random.one(&[4000, 5000]), *random.one(&[53, 80, 443]));
            let kinds = [Kind::Udp(ports.0, ports.1), Kind::Tcp(ports.0, ports.1)];
            let (packet, hook) = net.send(to, *random.one(&kinds), ipv6);
            let risen = risen(&net, kind, ipv6);
            let rules = net.rules();
            let finding = rules.dropped(&packet, hook, Dropper::Unknown);
            assert_eq!(Vec::from_iter(named(&finding)), risen, "{packet:?} {finding:#?}\n{text}");
            assert_eq!(rules.passes(&packet, hook, None).end, foretold(&finding), "{packet:?}\n{text}");
            assert!(finding.undecided.is_empty(), "{finding:#?}\n{text}");
            drops += risen.len();
        }
        let flush = "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n";
        restore(&net, kind, false, flush);
        restore(&net, kind, true, flush);
    }
    assert!(drops > 20, "only {drops} packets were dropped: the rules are no test");
}

/// Three built-in chains, four of a user's, each jumping only to later ones.
fn random_rules(random: &mut Random, ipv6: bool) -> String {
    let mut text = "*filter\n".to_owned();
    for chain in ["INPUT", "FORWARD", "OUTPUT"] {
        text += &format!(":{chain} {} [0:0]\n", random.one(&["ACCEPT", "DROP", "ACCEPT"]));
    }
    for user in 0..4 {
        text += &format!(":u{user} - [0:0]\n");
    }
    // What the router answers by itself, and the search for neighbours, are no packets of ours.
    for chain in ["INPUT", "FORWARD", "OUTPUT"] {
        text += &format!("-A {chain} -p {} -j ACCEPT\n", if ipv6 { "ipv6-icmp" } else { "icmp" });
        text += &format!("-A {chain} -p tcp -m tcp --tcp-flags RST RST -j ACCEPT\n");
    }
    let chains = ["INPUT", "FORWARD", "OUTPUT", "u0", "u1", "u2", "u3"];
    for (index, chain) in chains.into_iter().enumerate() {
        for _ in 0..random.below(9) {
            let mut rule = format!("-A {chain}");
            if random.below(3) > 0 {
                rule += &format!(" -p {}", random.one(&["tcp", "udp"]));
                let ports = [
                    "--dport 80",
                    "! --dport 80",
                    "--dport 53:100",
                    "--sport 4000",
                    "! --sport 4000:4999",
                    "--dport 443",
                ];
                if random.below(2) == 0 {
                    let protocol = if rule.ends_with("tcp") { "tcp" } else { "udp" };
                    rule += &format!(" -m {protocol} {}", random.one(&ports));
                } else if random.below(3) == 0 {
                    rule += &format!(
                        " -m multiport {}",
                        random.one(&["--dports 53,80", "! --dports 80,400:500", "--sports 1,4000"])
                    );
                }
            }
            let own =
                if ipv6 { ["fd01::2", "fd02::/64", "fd01::/16"] } else { ["10.1.0.2", "10.2.0.0/24", "10.1.0.0/16"] };
            if random.below(3) == 0 {
                rule += &format!(" {} {}", random.one(&["-s", "-d", "! -s", "! -d"]), random.one(&own));
            }
            let devices = match chain {
                "INPUT" => ["-i ra", "! -i ra", "-i r+"],
                "OUTPUT" => ["-o rb", "! -o rb", "-o r+"],
                _ => ["", "", ""],
            };
            if random.below(4) == 0 {
                rule += &format!(" {}", random.one(&devices));
            }
            let more = [
                "-m conntrack --ctstate NEW",
                "-m conntrack --ctstate RELATED,ESTABLISHED",
                "-m conntrack ! --ctstate INVALID",
                "-m state --state NEW",
                "-m mark --mark 0x1/0xf",
                "-m comment --comment \"a -j DROP\"",
                "-m addrtype --dst-type LOCAL",
                "-m addrtype ! --dst-type LOCAL",
                "-m addrtype --src-type LOCAL",
            ];
            let is_u6 = ipv6 && random.below(2) == 0;
            if random.below(3) == 0 && !is_u6 {
                rule += &format!(" {}", random.one(&more));
            }
            // No jump leads back.
            let later = &chains[(index + 1).max(3)..];
            let target = match random.below(10) {
                0 | 1 => "-j DROP".to_owned(),
                2 => "-j ACCEPT".to_owned(),
                3 => "-j RETURN".to_owned(),
                4 => "-j MARK --set-xmark 0x1/0xff".to_owned(),
                5 => "-j REJECT".to_owned(),
                6 | 7 if !later.is_empty() => format!("-j {}", random.one(later)),
                8 if !later.is_empty() => format!("-g {}", random.one(later)),
                _ => String::new(),
            };
            text += &format!("{rule} {target}\n");
        }
    }
    text + "COMMIT\n"
}
