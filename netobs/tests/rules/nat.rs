//! The rule that rewrote.

use std::net::IpAddr;

use netobs::event::{Direction, State, Tuple};
use netobs::rules::{Backend, Deed, Finding, InetHook, Packet, Side, Tracking};

use crate::network::{Kind, Network, To};

fn feed_nft(net: &Network, text: &str) {
    net.feed(&["nft", "-f", "-"], &format!("flush ruleset\n{text}"));
}

/// The packet's entry as the kernel has it after NAT, read back with `conntrack -L`.
fn with_entry(net: &Network, mut packet: Packet) -> Packet {
    let port = packet.tuple.sport.unwrap().to_string();
    let list = net.exec("r", &["conntrack", "-L", "-p", "udp", "--orig-port-src", &port]).good().stdout;
    let values = |key: &str| -> Vec<String> {
        list.split_whitespace().filter_map(|word| word.strip_prefix(key)).map(str::to_owned).collect()
    };
    let (src, dst, sport, dport) = (values("src="), values("dst="), values("sport="), values("dport="));
    let tuple = |index: usize| Tuple {
        src: src[index].parse().ok(),
        dst: dst[index].parse().ok(),
        sport: sport[index].parse().ok(),
        dport: dport[index].parse().ok(),
    };
    if let Tracking::Entry(entry) = &mut packet.tracking {
        (entry.orig, entry.reply) = (Some(tuple(0)), Some(tuple(1)));
    }
    packet
}

#[track_caller]
fn is(finding: &Finding, deed: Deed, text: &str) {
    let rule = finding.rule.as_ref().unwrap_or_else(|| unreachable!("{finding:#?}"));
    assert_eq!((rule.deed, rule.text.as_str()), (deed, text));
}

#[test]
fn nft_masquerade_and_dnat() {
    let Some(net) = Network::new("nft_masquerade_and_dnat", &["conntrack"]) else { return };
    feed_nft(
        &net,
        "table ip n {
            map ports { type inet_service : ipv4_addr . inet_service; elements = { 7000 : 10.2.0.2 . 70 } }
            chain pre {
                type nat hook prerouting priority dstnat;
                iifname \"rb\" udp dport 8080 dnat to 10.9.9.9
                ip daddr 10.1.0.1 udp dport 8080 dnat to 10.2.0.2:80
                fib daddr type local udp dport 9090 redirect to :90
                dnat ip to udp dport map @ports
            }
            chain post {
                type nat hook postrouting priority srcnat;
                ip saddr 10.1.0.0/24 oifname \"ra\" counter snat to 10.2.0.7
                ip saddr 10.1.0.0/24 oifname != \"ra\" counter masquerade
            }
        }",
    );
    let (mut packet, _) = net.send(To::Beyond, Kind::Udp(4000, 53), false);
    packet = with_entry(&net, packet);
    let masquerade = "ip saddr 10.1.0.0/24 oifname != \"ra\" counter masquerade";
    let rules = net.rules();
    is(&rules.translated(&packet, InetHook::Postrouting, Side::Source), Deed::Masquerade, masquerade);
    // The same seen from the answer, where it is not known how the question came and left.
    let Tracking::Entry(entry) = &mut packet.tracking else { unreachable!() };
    (entry.state, entry.direction) = (Some(State::Established), Some(Direction::Reply));
    packet.tuple = entry.reply.unwrap();
    is(&rules.translated(&packet, InetHook::Postrouting, Side::Source), Deed::Masquerade, masquerade);

    let (packet, _) = net.send(To::Router, Kind::Udp(4001, 8080), false);
    let packet = with_entry(&net, packet);
    let dnat = rules.translated(&packet, InetHook::Prerouting, Side::Destination);
    is(&dnat, Deed::Dnat, "ip daddr 10.1.0.1 udp dport 8080 dnat to 10.2.0.2:80");
    let forwarded = Packet { oif: Some("rb".to_owned()), ..packet };
    is(&rules.translated(&forwarded, InetHook::Postrouting, Side::Source), Deed::Masquerade, masquerade);

    let (packet, _) = net.send(To::Router, Kind::Udp(4002, 9090), false);
    let redirect = rules.translated(&with_entry(&net, packet), InetHook::Prerouting, Side::Destination);
    is(&redirect, Deed::Redirect, "fib daddr type local udp dport 9090 redirect to :90");

    // A rule changed since the flow began is not named for what it did not do.
    let changed =
        "table ip n { chain pre { type nat hook prerouting priority dstnat; udp dport 8080 dnat to 10.2.0.9\n}\n}";
    feed_nft(&net, changed);
    let Tracking::Entry(entry) = forwarded.tracking else { unreachable!() };
    assert_eq!(entry.reply.unwrap().src, Some(IpAddr::from([10, 2, 0, 2])));
    let finding = net.rules().translated(&forwarded, InetHook::Prerouting, Side::Destination);
    assert_eq!((&finding.rule, finding.candidates.len()), (&None, 0), "{finding:#?}");
    assert!(finding.undecided[0].contains("changed since"), "{finding:#?}");
}

/// What Docker writes for a published port.
#[test]
fn iptables_as_docker_writes_it() {
    let test = "iptables_as_docker_writes_it";
    let Some(net) = Network::new(test, &["conntrack", "iptables-nft-restore"]) else { return };
    for (kind, backend) in [("nft", Backend::IptablesNft), ("legacy", Backend::IptablesLegacy)] {
        let program = format!("iptables-{kind}");
        if net.exec("r", &[&program, "-t", "nat", "-L", "-n"]).status != 0 {
            crate::common::skip(test, &format!("{program} does not work here"));
            continue;
        }
        let restore = format!("{program}-restore");
        net.feed(
            &[&restore],
            "*nat\n:DOCKER - [0:0]\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n\
             -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER\n\
             -A POSTROUTING -s 10.2.0.0/24 ! -o rb -j MASQUERADE\n\
             -A POSTROUTING -s 10.1.0.0/24 ! -o ra -j MASQUERADE\n\
             -A DOCKER -i rb -j RETURN\n\
             -A DOCKER ! -i rb -p udp -m udp --dport 8081 -j DNAT --to-destination 10.2.0.2:81\n\
             -A DOCKER ! -i rb -p udp -m udp --dport 8080 -j DNAT --to-destination 10.2.0.2:80\nCOMMIT\n",
        );
        let port = if kind == "nft" { 4100 } else { 4200 };
        let (packet, _) = net.send(To::Router, Kind::Udp(port, 8080), false);
        let packet = with_entry(&net, packet);
        let rules = net.rules();
        let finding = rules.translated(&packet, InetHook::Prerouting, Side::Destination);
        is(&finding, Deed::Dnat, "-A DOCKER ! -i rb -p udp -m udp --dport 8080 -j DNAT --to-destination 10.2.0.2:80");
        assert_eq!(finding.rule.unwrap().backend, backend);
        let packet = Packet { oif: Some("rb".to_owned()), ..packet };
        let finding = rules.translated(&packet, InetHook::Postrouting, Side::Source);
        is(&finding, Deed::Masquerade, "-A POSTROUTING -s 10.1.0.0/24 ! -o ra -j MASQUERADE");
        net.feed(&[&restore], "*nat\nCOMMIT\n");
    }
}

/// Asking changes nothing, not even which tables there are.
#[test]
fn reading_leaves_the_rule_set_as_it_is() {
    let Some(net) = Network::new("reading_leaves_the_rule_set_as_it_is", &["iptables-nft"]) else { return };
    let all = || net.exec("r", &["nft", "-s", "list", "ruleset"]).good().stdout;
    let legacy = || net.exec("r", &["cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"]).stdout;
    let empty = (all(), legacy());
    net.rules();
    assert_eq!((all(), legacy()), empty);
    net.exec("r", &["iptables-nft", "-A", "FORWARD", "-p", "tcp", "-j", "DROP"]).good();
    let before = (all(), legacy());
    net.rules();
    assert_eq!((all(), legacy()), before);
}
