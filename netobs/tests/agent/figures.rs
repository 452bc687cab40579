//! The numbers are the kernel's.

use std::net::UdpSocket;

use netobs::netns::{Netns, in_netns};
use serde_json::Value;

use super::bed::{Bed, PORT, inside, ip, send, snmp};
use super::common::{can_make_labs, netobs, run, skip};
use super::served::{Agent, Scrape};

#[test]
fn drops_are_counted_by_namespace_reason_and_cause() {
    if !can_make_labs("drops_are_counted_by_namespace_reason_and_cause", &["ip"]) {
        return;
    }
    let (bed, refusing) = (Bed::new(), Bed::new());
    Bed::drop_at(&refusing.right, "input");
    let agent = Agent::ready(&[]);
    let drops = |netns: &str, reason: &str, cause: &str| {
        format!("packet_drops_total{{netns=\"{netns}\",reason=\"{reason}\",cause=\"{cause}\"}}")
    };
    for round in 1..=2u64 {
        send(&bed.left, "10.77.0.2", PORT, 300);
        send(&refusing.left, "10.77.0.2", PORT, 500);
        let scrape = agent.scrape();
        let seen = |netns: &str| scrape.with("packet_drops_total", "netns", netns);
        let closed = drops(&bed.right, "NO_SOCKET", "no-listener");
        assert_eq!(scrape.count(&closed), round * 300, "{:?}", seen(&bed.right));
        let policy = drops(&refusing.right, "NETFILTER_DROP", "policy");
        assert_eq!(scrape.count(&policy), round * 500, "{:?}", seen(&refusing.right));
        assert_eq!(seen(&refusing.right).len(), 1, "{:?}", seen(&refusing.right));
    }
    assert_eq!(Bed::dropped_by_rule(&refusing.right), 1000);
}

#[test]
fn counters_of_the_namespace_are_those_of_the_kernel() {
    if !can_make_labs("counters_of_the_namespace_are_those_of_the_kernel", &["ip", "sysctl"]) {
        return;
    }
    let bed = Bed::new();
    let agent = Agent::ready(&[]);
    let Bed { left, right } = &bed;
    // From an address that `right` has no way back to.
    inside(right, &["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1"]).good();
    ip(left, "addr add 10.99.0.1/32 dev lo");
    let netns = Netns::open(left).unwrap();
    let socket = in_netns(&netns, || UdpSocket::bind("10.99.0.1:0").unwrap()).unwrap();
    drop(netns);
    for _ in 0..70 {
        socket.send_to(b"netobs", ("10.77.0.2", PORT)).unwrap();
    }
    drop(socket);
    send(left, "10.77.0.2", PORT, 30);
    let links = run("ip", &["-n", right, "-s", "-j", "link"]).good().stdout;
    let scrape = agent.scrape();
    assert_eq!(scrape.count(&format!("rp_filter_drops_total{{netns=\"{right}\"}}")), 70);
    assert_eq!(
        scrape.count(&format!("packet_drops_total{{netns=\"{right}\",reason=\"IP_RPFILTER\",cause=\"rp-filter\"}}"))
            + scrape
                .count(&format!("packet_drops_total{{netns=\"{right}\",reason=\"NOT_SPECIFIED\",cause=\"other\"}}")),
        70,
        "{:?}",
        scrape.with("packet_drops_total", "netns", right)
    );
    for (metric, protocol, counter) in
        [("tcp_retransmits_total", "Tcp", "RetransSegs"), ("ip_fragmentation_failures_total", "Ip", "FragFails")]
    {
        assert_eq!(scrape.get(&format!("{metric}{{netns=\"{right}\"}}")), Some(snmp(right, protocol, counter) as f64));
    }
    let links: Value = serde_json::from_str(&links).unwrap();
    let links = links.as_array().unwrap();
    assert_eq!(links.len(), 2);
    for link in links {
        let device = link["ifname"].as_str().unwrap();
        let shown = |metric: &str| scrape.get(&format!("interface_{metric}{{netns=\"{right}\",device=\"{device}\"}}"));
        assert_eq!(shown("mtu_bytes"), link["mtu"].as_f64(), "{link}");
        for (direction, side) in [("receive", "rx"), ("transmit", "tx")] {
            for (what, field) in [("packets", "packets"), ("bytes", "bytes"), ("drops", "dropped")] {
                let value = shown(&format!("{direction}_{what}_total"));
                assert_eq!(value, link["stats64"][side][field].as_f64(), "{device} {direction} {what}: {link}");
            }
        }
    }
}

#[test]
fn connection_tracking_is_as_netobs_conntrack_shows_it() {
    if !can_make_labs("connection_tracking_is_as_netobs_conntrack_shows_it", &["ip"]) {
        return;
    }
    let bed = Bed::new();
    let right = &bed.right;
    Bed::track(right);
    send(&bed.left, "10.77.0.2", PORT, 5);
    let agent = Agent::ready(&[]);
    let record =
        run(netobs(), &["conntrack", "--format", "json", "--netns", right, "--interval", "100ms"]).good().stdout;
    let record: Value = serde_json::from_str(record.lines().next().unwrap()).unwrap();
    let scrape = agent.scrape();
    assert_eq!(record["entries"], 1, "{record}");
    for (metric, field) in [
        ("entries", "entries"),
        ("entries_limit", "limit"),
        ("drops_total", "drops"),
        ("early_drops_total", "early_drops"),
        ("insert_failed_total", "insert_failed"),
        ("invalid_total", "invalid"),
    ] {
        let shown = scrape.get(&format!("conntrack_{metric}{{netns=\"{right}\"}}"));
        assert_eq!(shown, record[field].as_f64(), "{metric}: {record}");
    }
}

#[test]
fn hops_are_counted_by_device_and_hook() {
    if !can_make_labs("hops_are_counted_by_device_and_hook", &["ip"]) {
        return;
    }
    let bed = Bed::new();
    let agent = Agent::ready(&[]);
    let hop = |scrape: &Scrape, what: &str, netns: &str, hook: &str| {
        scrape.count(&format!("hop_{what}_total{{netns=\"{netns}\",device=\"eth0\",hook=\"{hook}\"}}"))
    };
    for round in 1..=2u64 {
        send(&bed.left, "10.77.0.2", PORT, 250);
        let scrape = agent.scrape();
        // Ethernet, IPv4, UDP, and `netobs`; and back an ICMP error for each that the kernel does not hold back.
        let answers = snmp(&bed.right, "Icmp", "OutMsgs");
        for (hook, from, to) in [
            ("net_dev_queue", 250 * round, answers),
            ("net_dev_start_xmit", 250 * round, answers),
            ("netif_rx", answers, 250 * round),
            ("netif_receive_skb", answers, 250 * round),
        ] {
            assert_eq!(hop(&scrape, "packets", &bed.left, hook), from, "{hook}: {}", scrape.text);
            assert_eq!(hop(&scrape, "packets", &bed.right, hook), to, "{hook}: {}", scrape.text);
        }
        for (netns, hook) in [(&bed.left, "net_dev_queue"), (&bed.right, "netif_receive_skb")] {
            assert_eq!(hop(&scrape, "bytes", netns, hook), 250 * round * (14 + 20 + 8 + 6), "{hook}");
        }
        assert_eq!(scrape.count("events_lost_total{stage=\"hops-overflow\"}"), 0);
    }
}

#[test]
fn an_icmp_error_that_a_packet_is_too_big_is_counted() {
    if !can_make_labs("an_icmp_error_that_a_packet_is_too_big_is_counted", &["ip", "ping", "sysctl"]) {
        return;
    }
    let (bed, agent) = (Bed::new(), Agent::ready(&[]));
    let Bed { left, right } = &bed;
    if agent.scrape().get("probe_attached{probe=\"icmp_send_count\",kind=\"tp_btf\"}") != Some(1.0) {
        skip("an_icmp_error_that_a_packet_is_too_big_is_counted", "this kernel has no tracepoint icmp:icmp_send");
        return;
    }
    // `right` is a router whose way on is narrower than the way to it.
    inside(right, &["sysctl", "-qw", "net.ipv4.ip_forward=1"]).good();
    ip(right, "link add narrow type bridge");
    ip(right, "link set narrow mtu 1000 up");
    ip(right, "addr add 10.78.0.1/24 dev narrow");
    ip(left, "route add 10.78.0.0/24 via 10.77.0.2");
    inside(left, &["ping", "-c", "3", "-i", "0.2", "-W", "1", "-M", "do", "-s", "1200", "10.78.0.2"]);
    let scrape = agent.scrape();
    // What the sender has learned from the first keeps it from sending another.
    assert!(scrape.count(&format!("icmp_frag_needed_sent_total{{netns=\"{right}\"}}")) >= 1, "{}", scrape.text);
    assert!(scrape.count(&format!("mtu_drops_total{{netns=\"{right}\"}}")) >= 1, "{}", scrape.text);
    assert!(scrape.count(&format!("ip_fragmentation_failures_total{{netns=\"{right}\"}}")) >= 1, "{}", scrape.text);
}
