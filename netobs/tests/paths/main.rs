//! The way a packet takes, hook by hook: for each of five paths the names of the hooks and the namespaces they are in, in
//! order, as written down in `expected`. A hook may be missing only if `netobs check` says that this kernel does not
//! have it.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/records.rs"]
mod records;
#[path = "../common/tracer.rs"]
mod tracer;

mod expected;

use common::{Lab, can_make_labs, run};
use expected::{Available, Expected};
use records::Packet;
use tracer::trace;

/// A lab whose neighbours and bridge know each other, so that no packet has to wait or is flooded.
fn lab(bridge_calls_iptables: bool) -> Lab {
    let lab = Lab::up();
    let value = u8::from(bridge_calls_iptables);
    // Where br_netfilter is not loaded there is nothing to switch off.
    let set = format!("net.bridge.bridge-nf-call-iptables={value}");
    let answer = run("ip", &["netns", "exec", &lab.netns("host"), "sysctl", "-w", &set]);
    assert!(answer.status == 0 || !bridge_calls_iptables, "{answer:#?}");
    for address in ["10.40.0.3", "10.40.0.1", "198.51.100.10"] {
        run("ip", &["netns", "exec", &lab.netns("c1"), "ping", "-c1", "-W5", address]).good();
    }
    lab
}

/// Compares the first packet that was traced of the lab, and the answer to it.
#[track_caller]
fn compare(lab: &Lab, filter: &str, command: &[&str], path: &Expected, outcome: &str) {
    let traced = trace(filter, command);
    traced.nothing_lost();
    let packets = traced.of(lab);
    let first: &Packet = packets.first().expect("a packet");
    assert_eq!(first.outcome, outcome, "{first:#?}");
    let prefix = lab.netns("");
    let seen: Vec<(String, String)> = first
        .hops
        .iter()
        // Which tables are asked is a matter of what the kernel has cached.
        .filter(|hop| !hop.hook.ends_with("table_lookup"))
        .map(|hop| (hop.netns.as_deref().unwrap_or("?").trim_start_matches(&prefix).to_owned(), hop.hook.clone()))
        .collect();
    path.assert_is(&seen, &Available::here());
}

fn ping(lab: &Lab, path: &str, address: &str) {
    let c1 = lab.netns("c1");
    let filter = format!("icmp and dst host {address}");
    compare(lab, &filter, &["ip", "netns", "exec", &c1, "ping", "-c1", address], &Expected::of(path), "delivered");
}

#[test]
fn same_bridge() {
    if can_make_labs("same_bridge", &["ip", "ping", "sysctl"]) {
        ping(&lab(false), include_str!("expected/same-bridge"), "10.40.0.3");
    }
}

#[test]
fn to_the_gateway() {
    if can_make_labs("to_the_gateway", &["ip", "ping", "sysctl"]) {
        ping(&lab(false), include_str!("expected/gateway"), "10.40.0.1");
    }
}

#[test]
fn masqueraded() {
    if can_make_labs("masqueraded", &["ip", "ping", "sysctl"]) {
        ping(&lab(false), include_str!("expected/masquerade"), "198.51.100.10");
    }
}

#[test]
fn to_a_published_port() {
    if !can_make_labs("to_a_published_port", &["ip", "ping", "sysctl", "curl"]) {
        return;
    }
    let lab = lab(false);
    let inet = lab.netns("inet");
    let syn = "tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn and tcp port 8080";
    let fetch = ["ip", "netns", "exec", &inet, "curl", "-s", "-o", "/dev/null", "http://203.0.113.2:8080/"];
    compare(&lab, syn, &fetch, &Expected::of(include_str!("expected/published")), "delivered");
}

#[test]
fn bridged_through_netfilter() {
    if !can_make_labs("bridged_through_netfilter", &["ip", "ping", "sysctl"]) {
        return;
    }
    if !std::path::Path::new("/proc/sys/net/bridge").exists() {
        common::skip("bridged_through_netfilter", "br_netfilter is not loaded");
        return;
    }
    ping(&lab(true), include_str!("expected/bridged-netfilter"), "10.40.0.3");
}
