//! Connections that are translated, and packets that are timed.

use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use netobs::netns::{Netns, in_netns};

use super::bed::{Bed, PORT, inside, send};
use super::common::{Lab, can_make_labs, eventually, run, skip};
use super::served::{Agent, Scrape};

fn translations(scrape: &Scrape, netns: &str) -> [u64; 2] {
    ["snat", "dnat"].map(|kind| scrape.count(&format!("nat_translations_total{{netns=\"{netns}\",kind=\"{kind}\"}}")))
}

/// Whether this kernel lets them be counted; says why not. By a kprobe they are counted everywhere.
fn can_count(test: &str, scrape: &Scrape) -> Option<bool> {
    let attached = |program: &str, kind: &str| {
        scrape.get(&format!("probe_attached{{probe=\"{program}\",kind=\"{kind}\"}}")) == Some(1.0)
    };
    let (by_kprobe, by_link) = (attached("nat_confirm", "kprobe"), attached("nat_leaving", "netfilter"));
    if !by_kprobe && !by_link {
        skip(test, "this kernel has neither kprobes nor netfilter programs");
        return None;
    }
    Some(by_kprobe)
}

/// One datagram from each of so many ports.
fn connect_udp(netns: &str, to: &str, connections: usize) {
    let netns = Netns::open(netns).unwrap();
    let sockets = in_netns(&netns, || {
        let bind = |_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        (0..connections).map(bind).collect::<Vec<_>>()
    });
    for socket in sockets.unwrap() {
        // Twice: the second packet is of a connection that is there.
        for _ in 0..2 {
            socket.send_to(b"netobs", (to, PORT)).unwrap();
        }
    }
}

#[test]
fn each_connection_is_translated_once() {
    const TEST: &str = "each_connection_is_translated_once";
    if !can_make_labs(TEST, &["ip"]) {
        return;
    }
    let (lab, agent) = (Lab::up(), Agent::ready(&[]));
    let host = lab.netns("host");
    let before = agent.scrape();
    if can_count(TEST, &before).is_none() {
        return;
    }
    let before = translations(&before, &host);
    connect_udp(&lab.netns("c1"), "198.51.100.10", 40);
    // Within the bridge nothing is translated.
    connect_udp(&lab.netns("c1"), "10.40.0.3", 10);
    let inet = Netns::open(&lab.netns("inet")).unwrap();
    in_netns(&inet, || {
        let published: SocketAddr = "203.0.113.2:8080".parse().unwrap();
        for _ in 0..25 {
            // Whoever answers, or refuses.
            let _ = TcpStream::connect_timeout(&published, Duration::from_secs(5));
        }
    })
    .unwrap();
    drop(inet);
    let after = translations(&agent.scrape(), &host);
    assert_eq!([after[0] - before[0], after[1] - before[1]], [40, 25]);
    assert_eq!(translations(&agent.scrape(), &host), after);
}

#[test]
fn translations_of_a_namespace_that_came_later_are_counted_and_keep_it_not_alive() {
    const TEST: &str = "translations_of_a_namespace_that_came_later_are_counted_and_keep_it_not_alive";
    if !can_make_labs(TEST, &["ip"]) {
        return;
    }
    let agent = Agent::ready(&[]);
    let Some(everywhere) = can_count(TEST, &agent.scrape()) else { return };
    let bed = Bed::new();
    let left = bed.left.clone();
    let rules = format!(
        "add table ip t; \
         add chain ip t post {{ type nat hook postrouting priority 100; }}; \
         add rule ip t post udp dport {PORT} snat to 10.77.0.1:1024-1999; \
         add chain ip t out {{ type nat hook output priority -100; }}; \
         add rule ip t out ip daddr 10.77.0.9 dnat to 10.77.0.2"
    );
    // Known to the machine's own namespace, as one is that has a cable there: it hears of the rules.
    run("ip", &["netns", "set", &left, "auto"]).good();
    inside(&left, &["nft", &rules]).good();
    if !everywhere {
        // There as soon as something is attached.
        let series = format!("nat_translations_total{{netns=\"{left}\",kind=\"snat\"}}");
        agent.scrape_until("attached in the new namespace", |scrape| scrape.get(&series).is_some());
    }
    let before = translations(&agent.scrape(), &left);
    connect_udp(&left, "10.77.0.9", 12);
    let after = translations(&agent.scrape(), &left);
    assert_eq!([after[0] - before[0], after[1] - before[1]], [12, 12]);
    // The other end of its cable is gone when the namespace is.
    let right = bed.right.clone();
    run("ip", &["netns", "del", &left]).good();
    let is_gone = || !run("ip", &["-n", &right, "link"]).good().stdout.contains("eth0");
    eventually("nothing keeps the namespace alive", is_gone);
}

#[test]
fn packets_are_timed_from_hook_to_hook() {
    if !can_make_labs("packets_are_timed_from_hook_to_hook", &["ip"]) {
        return;
    }
    let (bed, agent) = (Bed::new(), Agent::ready(&[]));
    let figure = |scrape: &Scrape, what: &str, from: &str, to: &str| {
        scrape.get(&format!("hop_latency_seconds_{what}{{from_hook=\"{from}\",to_hook=\"{to}\"}}")).unwrap_or(0.0)
    };
    let steps = [
        ("net_dev_queue", "net_dev_start_xmit"),
        ("net_dev_start_xmit", "netif_rx"),
        ("netif_rx", "netif_receive_skb"),
    ];
    let before = agent.scrape();
    const PACKETS: u64 = 20_000;
    let began = std::time::Instant::now();
    send(&bed.left, "10.77.0.2", PORT, PACKETS);
    let took = began.elapsed().as_secs_f64();
    let after = agent.scrape();
    for (from, to) in steps {
        let [count, sum] =
            ["count", "sum"].map(|what| figure(&after, what, from, to) - figure(&before, what, from, to));
        // One in 64 is picked at each hook, and then followed to the end: here, and whatever else the machine does.
        let passed: f64 = after.with("hop_packets_total", "hook", to).iter().map(|(_, packets)| packets).sum();
        let least = PACKETS as f64 / 64.0 / 2.0;
        assert!(count > least && count < passed / 4.0, "{from} {to}: {count} of {passed}");
        assert!(sum > 0.0 && sum / count < took, "{from} {to}: {sum} s of {took} s");
        let within: Vec<_> = after.with("hop_latency_seconds_bucket", "from_hook", from);
        let within: Vec<_> = within.into_iter().filter(|(series, _)| series.contains(to)).collect();
        let all = within.iter().find(|(series, _)| series.contains("+Inf")).unwrap().1;
        assert_eq!(all, figure(&after, "count", from, to));
        assert!(within.iter().all(|(_, count)| *count <= all) && within.len() > 10, "{within:?}");
    }
    // What no packet can do.
    for (from, to) in [("net_dev_queue", "netif_receive_skb"), ("netif_receive_skb", "netif_rx")] {
        assert_eq!(figure(&after, "count", from, to), 0.0);
    }
}
