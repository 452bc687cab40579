//! `netobs conntrack` against the kernel's own figures, in tables of the tests' own.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a test that fails")]
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a helper that fails is a test that fails")]

mod command;
mod figures;
mod full;
mod speed;
mod watch;

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/conntrack.rs"]
mod conntrack;
#[path = "../common/counting.rs"]
mod counting;
#[path = "../common/flood.rs"]
mod flood;
#[path = "../common/records.rs"]
mod records;
#[path = "../common/tracer.rs"]
mod tracer;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Stdio;

use common::{netobs, run};
use netobs::netns::Netns;
use serde_json::Value;

/// Time between the two readings, as an argument.
const INTERVAL: &str = "300ms";
/// Where entries that a test makes lead.
const TARGET: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 99)), 80);

/// A namespace with a name and nothing in it, removed when it goes out of scope.
struct Empty(String);

impl Empty {
    fn new() -> Self {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("ct{}-{number}", std::process::id());
        run("ip", &["netns", "add", &name]).good();
        Self(name)
    }

    fn netns(&self) -> Netns {
        Netns::open(&self.0).unwrap()
    }
}

impl Drop for Empty {
    fn drop(&mut self) {
        let _ = std::process::Command::new("ip").args(["netns", "del", &self.0]).stderr(Stdio::null()).status();
    }
}

/// That many flows of a source, each of another port, then of the next address, and so on.
fn flows(first: Ipv4Addr, count: u32) -> impl Iterator<Item = SocketAddr> + Send {
    const PORTS: u32 = 50_000;
    (0..count).map(move |number| {
        let address = Ipv4Addr::from(u32::from(first) + number / PORTS);
        SocketAddr::new(address.into(), u16::try_from(1024 + number % PORTS).unwrap())
    })
}

/// `netobs conntrack --format json …`, read.
#[track_caller]
fn records(arguments: &[&str]) -> Vec<Value> {
    let answer =
        run(netobs(), &[&["conntrack", "--format", "json", "--interval", INTERVAL], arguments].concat()).good();
    answer.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// The one record of a namespace.
#[track_caller]
fn record(netns: &str, arguments: &[&str]) -> Value {
    let records = records(&[&["--netns", netns], arguments].concat());
    assert_eq!(records.len(), 1, "{records:#?}");
    records.into_iter().next().unwrap()
}

/// What `netobs conntrack` says of a namespace with those arguments more, every figure being the one that the
/// `conntrack` tool shows. An entry may run out at any time: what was looked at while the tool's own figures changed
/// is looked at again.
#[track_caller]
fn as_the_tool_says(netns: &str, arguments: &[&str]) -> Value {
    let kernels = || (conntrack::count(netns), conntrack::statistics(netns));
    let (mut before, attempts) = (kernels(), 10);
    for _ in 0..attempts {
        let found = record(netns, arguments);
        let after = kernels();
        if before == after {
            equal(&found, &after);
            return found;
        }
        before = after;
    }
    panic!("the table of {netns} changed {attempts} times while it was looked at: {before:?}")
}

/// Fails the test unless every figure of a record is the tool's.
#[track_caller]
fn equal(record: &Value, (entries, statistics): &(u64, BTreeMap<String, u64>)) {
    assert_eq!(record["entries"], *entries, "{record:#}");
    for (field, name) in [
        ("drops", "drop"),
        ("early_drops", "early_drop"),
        ("insert_failed", "insert_failed"),
        ("invalid", "invalid"),
        ("found", "found"),
        ("insert", "insert"),
        ("error", "error"),
        ("search_restart", "search_restart"),
        ("clash_resolve", "clash_resolve"),
        ("chain_toolong", "chaintoolong"),
    ] {
        let kernels = statistics.get(name).copied().unwrap_or_else(|| panic!("no {name} in {statistics:?}"));
        assert_eq!(record[field], kernels, "{field}: {record:#}");
    }
}
