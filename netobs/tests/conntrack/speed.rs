//! A large table is read fast and in little memory.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::common::{can_make_labs, netobs, run};
use super::conntrack::{Flow, count, enter, machine_is_ours};
use super::{Empty, TARGET, flows};

/// Most memory that netobs may have resident.
const MEMORY: u64 = 64 << 20;
/// Time between the two readings.
const INTERVAL: Duration = Duration::from_millis(100);

/// The most memory a process had resident so far, in bytes.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn two_hundred_thousand_entries_take_less_than_a_second() {
    let test = "two_hundred_thousand_entries_take_less_than_a_second";
    if !can_make_labs(test, &["ip", "conntrack"]) {
        return;
    }
    if machine_is_ours() {
        super::common::skip(test, "an emulated machine is no measure of speed");
        return;
    }
    let limit: u32 =
        std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max").unwrap().trim().parse().unwrap();
    let empty = Empty::new();
    // Half of them of few sources, half of as many sources as there are entries: a flood with forged ones.
    let wanted = limit.min(262_144);
    let forged =
        (0..wanted / 2).map(|number| std::net::SocketAddr::new(Ipv4Addr::from(0x0b00_0000 + number).into(), 1024));
    enter(&empty.netns(), Flow::Assured, flows(Ipv4Addr::new(10, 7, 0, 1), wanted - wanted / 2), TARGET);
    enter(&empty.netns(), Flow::Assured, forged, TARGET);
    assert_eq!(count(&empty.0), u64::from(wanted));

    let arguments = ["conntrack", "--format", "json", "--interval", "100ms", "--netns", &empty.0];
    let mut printed = String::new();
    let mut once = || {
        let began = Instant::now();
        printed = run(netobs(), &arguments).good().stdout;
        began.elapsed() - INTERVAL
    };
    // Others may have the processors for a while.
    let took = (0..3).map(|_| once()).min().unwrap();
    let record: serde_json::Value = serde_json::from_str(&printed).expect(&printed);
    assert_eq!((&record["entries"], &record["top_of"]), (&wanted.into(), &wanted.into()), "{record:#}");
    assert_eq!(record["top"][0], serde_json::json!({"src": "10.7.0.1", "entries": 50_000}), "{record:#}");
    assert!(took < Duration::from_secs(1), "{took:?}");

    // Memory is asked for while it lives.
    let mut watching = Command::new(netobs());
    watching.args(arguments).arg("--watch").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut watching = watching.spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let read = lines.by_ref().take(10).filter(|line| line.as_ref().is_ok_and(|line| line.contains("10.7.0.1"))).count();
    let memory = peak_memory(watching.id());
    watching.kill().unwrap();
    watching.wait().unwrap();
    assert_eq!(read, 10);
    println!("{wanted} entries in {took:?}, {} KiB resident", memory >> 10);
    assert!(memory < MEMORY, "{} MiB", memory >> 20);
}
