//! The pages, and that every metric is what the table says.

use std::io::Write;
use std::net::TcpStream;

use netobs::metrics::{Kind, Metric, Row};

use super::common::{can_make_labs, is_slow, netobs, run, skip};
use super::served::Agent;

#[test]
fn pages_are_there_and_others_are_not() {
    if !can_make_labs("pages_are_there_and_others_are_not", &["ip"]) {
        return;
    }
    if is_slow() {
        skip(
            "pages_are_there_and_others_are_not",
            "no kernel's matter; it runs on real processors (NETOBS_TEST_SLOW=0)",
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.toml");
    // The flag wins.
    std::fs::write(&path, "listen = \"192.0.2.1:1\"\nseries-limit = 5000\nprogram-stats = false\n").unwrap();
    let agent = Agent::ready(&["--config", path.to_str().unwrap()]);
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/", 200), ("/metrics/", 404), ("/etc/passwd", 404)] {
        assert_eq!(agent.get(path).status, status, "{path}");
    }
    let page = agent.get("/metrics");
    assert!(page.head.contains("content-type: text/plain; version=0.0.4"), "{}", page.head);
    // One that says nothing keeps nobody waiting.
    let mut silent = TcpStream::connect(agent.address()).unwrap();
    silent.write_all(b"GET /metr").unwrap();
    let scrape = agent.scrape();
    assert_eq!(scrape.get("series_limit"), Some(5000.0));
    assert_eq!(scrape.get("series_left_out"), Some(0.0));
    for collector in ["namespaces", "interfaces", "snmp", "conntrack", "drops", "hops", "programs"] {
        assert_eq!(
            scrape.get(&format!("collector_success{{collector=\"{collector}\"}}")),
            Some(1.0),
            "{}",
            scrape.text
        );
    }
}

#[test]
fn every_series_is_one_of_the_table_and_explained() {
    if !can_make_labs("every_series_is_one_of_the_table_and_explained", &["ip"]) {
        return;
    }
    let agent = Agent::ready(&[]);
    let scrape = agent.scrape();
    let list = run(netobs(), &["agent", "--list-metrics"]).good().stdout;
    for metric in Metric::ALL {
        let row = metric.row();
        assert!(
            list.contains(&format!("{} ({}) {{{}}}\n", row.name, row.kind.name(), row.labels.join(", "))),
            "{list}"
        );
        if !scrape.metrics().contains(row.name.strip_prefix("netobs_").unwrap()) {
            continue;
        }
        for part in
            [format!("# HELP {} {}\n", row.name, row.help), format!("# TYPE {} {}\n", row.name, row.kind.name())]
        {
            assert!(scrape.text.contains(&part), "{part}: {}", scrape.text);
        }
    }
    for name in scrape.metrics() {
        let is_histogram = |row: &Row| row.kind == Kind::Histogram;
        let of_histogram = |row: &Row| {
            is_histogram(row)
                && ["bucket", "sum", "count"]
                    .map(|part| format!("{}_{part}", row.name))
                    .contains(&format!("netobs_{name}"))
        };
        let is_it = |row: &&Row| row.name == format!("netobs_{name}") && !is_histogram(row) || of_histogram(row);
        let row = Metric::ALL.iter().map(|metric| metric.row()).find(is_it);
        let labels = row.expect(name).labels;
        let lines = scrape.text.lines().filter(|line| line.starts_with(&format!("netobs_{name}{{")));
        for line in lines {
            assert!(labels.iter().all(|label| line.contains(&format!("{label}=\""))), "{line}");
        }
    }
    // What every machine has.
    for name in [
        "build_info",
        "netns_info",
        "hop_packets_total",
        "hop_bytes_total",
        "icmp_frag_needed_sent_total",
        "rp_filter_drops_total",
        "ip_fragmentation_failures_total",
        "tcp_retransmits_total",
        "interface_mtu_bytes",
        "interface_receive_packets_total",
        "interface_receive_bytes_total",
        "interface_receive_drops_total",
        "interface_transmit_packets_total",
        "interface_transmit_bytes_total",
        "interface_transmit_drops_total",
        "events_total",
        "events_lost_total",
        "probe_attached",
        "bpf_program_run_seconds_total",
        "bpf_program_runs_total",
        "collector_success",
        "collector_duration_seconds",
    ] {
        assert!(scrape.metrics().contains(name), "{name}: {}", scrape.text);
    }
}

#[test]
fn a_limit_that_bites_is_seen() {
    if !can_make_labs("a_limit_that_bites_is_seen", &["ip"]) {
        return;
    }
    if is_slow() {
        skip("a_limit_that_bites_is_seen", "no kernel's matter; it runs on real processors (NETOBS_TEST_SLOW=0)");
        return;
    }
    let agent = Agent::ready(&["--series-limit", "20"]);
    for _ in 0..2 {
        let scrape = agent.scrape();
        assert_eq!(scrape.get("series_limit"), Some(20.0));
        assert!(scrape.get("series_left_out") > Some(0.0), "{}", scrape.text);
        let series = scrape.text.lines().filter(|line| !line.starts_with('#')).count();
        // And the two that tell of it.
        assert!(series <= 22, "{series}: {}", scrape.text);
    }
}
