//! What is said of a packet beforehand is what becomes of it.

use std::net::IpAddr;

use netobs::event::{Direction, State, Tuple};
use netobs::rules::{Deed, End, InetHook, Packet, Passage, Rules, Side, Tracking};

use crate::common::skip;
use crate::network::{Kind, Network, To};

fn load(net: &Network, text: &str) {
    net.feed(&["nft", "-f", "-"], &format!("flush ruleset\n{text}"));
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

/// The tuple that the kernel expects the answer to have, once the packet has gone through.
fn answer_of(net: &Network, source_port: u16) -> Tuple {
    let list =
        net.exec("r", &["conntrack", "-L", "-p", "udp", "--orig-port-src", &source_port.to_string()]).good().stdout;
    let last = |key: &str| list.split_whitespace().filter_map(|word| word.strip_prefix(key)).nth(1).map(str::to_owned);
    let number = |key: &str| last(key).and_then(|text| text.parse().ok());
    let address = |key: &str| last(key).and_then(|text| text.parse().ok());
    Tuple { src: address("src="), dst: address("dst="), sport: number("sport="), dport: number("dport=") }
}

/// All hooks of the router that a packet from `a` to beyond, or to the router, comes to.
fn foresee(rules: &Rules, mut packet: Packet, ra: &str, rb: &str, forwarded: bool) -> (Vec<Passage>, Packet) {
    let hooks: &[_] = if forwarded {
        &[InetHook::Prerouting, InetHook::Forward, InetHook::Postrouting]
    } else {
        &[InetHook::Prerouting, InetHook::Input]
    };
    let mut passages = Vec::new();
    for hook in hooks {
        let own = if *hook == InetHook::Postrouting { ip(rb) } else { ip(ra) };
        let passage = rules.passes(&packet, *hook, own);
        packet = passage.after.clone();
        passages.push(passage);
    }
    (passages, packet)
}

fn reply(packet: &Packet) -> Tuple {
    let Tracking::Entry(entry) = packet.tracking else { unreachable!("{packet:?}") };
    entry.reply.unwrap()
}

#[test]
fn nat_is_foreseen_with_both_tools() {
    let test = "nat_is_foreseen_with_both_tools";
    let Some(net) = Network::new(test, &["conntrack", "iptables-nft-restore"]) else { return };
    let nft = "table ip n {
        chain raw { type filter hook prerouting priority raw; udp dport 99 notrack
        }
        chain mangle { type filter hook prerouting priority mangle; udp dport 7100 meta mark set 7
        }
        chain pre {
            type nat hook prerouting priority dstnat;
            ip daddr 10.1.0.1 udp dport 8080 dnat to 10.2.0.2:80
            ip daddr 10.1.0.1 udp dport 8081 dnat to 10.2.0.2
            meta l4proto udp meta mark 7 dnat to 10.2.0.2:71
            fib daddr type local udp dport 9090 redirect to :90
        }
        chain post {
            type nat hook postrouting priority srcnat;
            udp dport 55 snat to 10.2.0.9:5000
            ip saddr 10.1.0.0/24 oifname \"rb\" masquerade
        }
    }";
    let iptables = "*raw\n-A PREROUTING -p udp -m udp --dport 99 -j CT --notrack\nCOMMIT\n\
        *mangle\n-A PREROUTING -p udp -m udp --dport 7100 -j MARK --set-mark 7\nCOMMIT\n\
        *nat\n\
        -A PREROUTING -d 10.1.0.1/32 -p udp -m udp --dport 8080 -j DNAT --to-destination 10.2.0.2:80\n\
        -A PREROUTING -d 10.1.0.1/32 -p udp -m udp --dport 8081 -j DNAT --to-destination 10.2.0.2\n\
        -A PREROUTING -p udp -m mark --mark 7 -j DNAT --to-destination 10.2.0.2:71\n\
        -A PREROUTING -p udp -m addrtype --dst-type LOCAL -m udp --dport 9090 -j REDIRECT --to-ports 90\n\
        -A POSTROUTING -p udp -m udp --dport 55 -j SNAT --to-source 10.2.0.9:5000\n\
        -A POSTROUTING -s 10.1.0.0/24 -o rb -j MASQUERADE\nCOMMIT\n";
    let empty = "*raw\nCOMMIT\n*mangle\nCOMMIT\n*nat\nCOMMIT\n";
    for (number, tool) in (0..).zip(["nft", "iptables-nft", "iptables-legacy"]) {
        if tool == "nft" {
            load(&net, nft);
        } else if net.exec("r", &[tool, "-t", "nat", "-L", "-n"]).status == 0 {
            net.feed(&[&format!("{tool}-restore")], iptables);
        } else {
            skip(test, &format!("{tool} does not work here"));
            continue;
        }
        let flows = [
            (To::Beyond, 53, true, vec![(Deed::Masquerade, Side::Source)]),
            (To::Beyond, 55, true, vec![(Deed::Snat, Side::Source)]),
            (To::Router, 8080, true, vec![(Deed::Dnat, Side::Destination), (Deed::Masquerade, Side::Source)]),
            (To::Router, 8081, true, vec![(Deed::Dnat, Side::Destination), (Deed::Masquerade, Side::Source)]),
            (To::Router, 7100, true, vec![(Deed::Dnat, Side::Destination), (Deed::Masquerade, Side::Source)]),
            (To::Router, 9090, false, vec![(Deed::Redirect, Side::Destination)]),
            (To::Router, 9091, false, vec![]),
        ];
        for (index, (to, port, forwarded, met)) in (0..).zip(flows) {
            let source_port = 20_000 + number * 100 + index;
            let (packet, _) = net.send(to, Kind::Udp(source_port, port), false);
            let packet = Packet { oif: forwarded.then(|| "rb".to_owned()), ..packet };
            let (passages, after) = foresee(&net.rules(), packet.clone(), "10.1.0.1", "10.2.0.1", forwarded);
            assert!(passages.iter().all(|passage| passage.end == End::Passes), "{tool} {port}: {passages:#?}");
            let rewrites = passages.iter().filter_map(|passage| passage.rewrite.as_ref());
            assert!(rewrites.clone().all(|rewrite| rewrite.sure), "{tool} {port}");
            assert_eq!(Vec::from_iter(rewrites.map(|rewrite| (rewrite.rule.deed, rewrite.side))), met, "{tool} {port}");
            if port == 9091 {
                // Nobody listens, so the kernel has no entry for it any more.
                assert_eq!(after.tuple, packet.tuple);
                continue;
            }
            assert_eq!(reply(&after), answer_of(&net, source_port), "{tool} {port}");
            // The answer is rewritten back to what the question was, turned round.
            let Tracking::Entry(mut entry) = after.tracking else { unreachable!() };
            (entry.state, entry.direction) = (Some(State::Established), Some(Direction::Reply));
            let (iif, oif) = if forwarded { (Some("rb"), Some("ra")) } else { (None, Some("ra")) };
            let mut answer = Packet {
                tuple: reply(&after),
                iif: iif.map(str::to_owned),
                oif: oif.map(str::to_owned),
                tracking: Tracking::Entry(entry),
                ..packet.clone()
            };
            let start = if forwarded { InetHook::Prerouting } else { InetHook::Output };
            for hook in [start, InetHook::Postrouting] {
                let passage = net.rules().passes(&answer, hook, ip("10.1.0.1"));
                assert_eq!((&passage.end, &passage.rewrite), (&End::Passes, &None), "{tool} {port}");
                answer = passage.after;
            }
            assert_eq!(answer.tuple, packet.tuple.turned(), "{tool} {port}");
        }
        // What conntrack was told to leave alone is not rewritten.
        let (packet, _) = net.send(To::Beyond, Kind::Udp(29_000 + number, 99), false);
        let (passages, after) = foresee(&net.rules(), packet.clone(), "10.1.0.1", "10.2.0.1", true);
        assert!(passages.iter().all(|passage| passage.rewrite.is_none()), "{tool}: {passages:#?}");
        assert_eq!(after.tuple, packet.tuple);
        let list = net.exec("r", &["conntrack", "-L", "-p", "udp", "--orig-port-src", &(29_000 + number).to_string()]);
        assert!(!list.stdout.contains("dport=99"), "{list:?}");
        // The next tool's flows must not meet these.
        net.exec("r", &["conntrack", "-F"]).good();
        if tool == "nft" {
            load(&net, "");
        } else {
            net.feed(&[&format!("{tool}-restore")], empty);
        }
    }
}

/// What the router itself sends is filtered behind the rewrite, and what only may be met is not told as a fact.
#[test]
fn a_filter_behind_nat_sees_what_nat_made() {
    let Some(net) = Network::new("a_filter_behind_nat_sees_what_nat_made", &["conntrack"]) else { return };
    load(
        &net,
        "table ip n {
            chain nat { type nat hook output priority -100; udp dport 8080 dnat to 10.2.0.2:80
            }
            chain out { type filter hook output priority filter; udp dport 8080 drop
                udp dport 80 counter drop
            }
            chain fw { type filter hook forward priority filter; policy drop; udp dport 53 limit rate 1/hour accept
                udp dport 54 numgen random mod 2 0 drop
                udp dport 54 drop
            }
        }",
    );
    let (packet, hook) = net.send(To::FromRouter, Kind::Udp(4000, 8080), false);
    assert_eq!(hook, InetHook::Output);
    let rules = net.rules();
    let passage = rules.passes(&packet, hook, None);
    let End::Dropped(dead) = &passage.end else { unreachable!("{passage:#?}") };
    assert_eq!(Vec::from_iter(dead.iter().map(|rule| rule.text.as_str())), ["udp dport 80 counter drop"]);
    assert!(net.exec("r", &["nft", "list", "chain", "ip", "n", "out"]).good().stdout.contains("packets 1"));
    assert_eq!(passage.after.tuple.dport, Some(80));

    let (packet, hook) = net.send(To::Beyond, Kind::Udp(4001, 53), false);
    let End::Undecided(may) = rules.passes(&packet, hook, None).end else { unreachable!() };
    assert!(may.len() == 1 && may[0].policy, "{may:#?}");
    // It dies for certain, though it cannot be told of which.
    let (packet, hook) = net.send(To::Beyond, Kind::Udp(4002, 54), false);
    let End::Dropped(dead) = rules.passes(&packet, hook, None).end else { unreachable!() };
    assert_eq!(dead.len(), 2, "{dead:#?}");
}

/// An ICMP error about a flow goes back through NAT, with the router that made it as its source.
#[test]
fn an_error_about_a_masqueraded_flow_finds_its_way_back() {
    let Some(net) = Network::new("an_error_about_a_masqueraded_flow_finds_its_way_back", &[]) else { return };
    load(
        &net,
        "table ip n {
            chain post { type nat hook postrouting priority srcnat; oifname \"rb\" masquerade
            }
            chain fw { type filter hook forward priority filter; ct state related icmp code frag-needed drop
            }
        }",
    );
    let (packet, _) = net.send(To::Beyond, Kind::Udp(4000, 53), false);
    let rules = net.rules();
    let (_, after) = foresee(&rules, packet, "10.1.0.1", "10.2.0.1", true);
    let Tracking::Entry(mut entry) = after.tracking else { unreachable!() };
    (entry.state, entry.direction) = (Some(State::Related), Some(Direction::Reply));
    let error = Packet {
        tuple: Tuple { src: ip("10.2.0.77"), dst: ip("10.2.0.1"), sport: None, dport: None },
        proto: Some(1),
        icmp: Some((3, 4)),
        iif: Some("rb".to_owned()),
        oif: Some("ra".to_owned()),
        tracking: Tracking::Entry(entry),
        ..after
    };
    let passage = rules.passes(&error, InetHook::Prerouting, None);
    assert_eq!((passage.after.tuple.src, passage.after.tuple.dst), (ip("10.2.0.77"), ip("10.1.0.2")));
    let passage = rules.passes(&passage.after, InetHook::Forward, None);
    assert!(matches!(passage.end, End::Dropped(_)), "{passage:#?}");
    let passage = rules.passes(&passage.after, InetHook::Postrouting, ip("10.1.0.1"));
    assert_eq!((passage.after.tuple.src, passage.rewrite), (ip("10.2.0.77"), None));
}
