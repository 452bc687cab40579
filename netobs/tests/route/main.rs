//! What the kernel decides about a packet between two devices: its route, the check of its sender, the port of a bridge,
//! the neighbour it waits for, the answer it gets. Each is brought about with `ip`, `nft` and `sysctl` in a lab of the
//! test's own.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/records.rs"]
mod records;
#[path = "../common/tracer.rs"]
mod tracer;

mod answer;
mod bridge;
mod neighbour;
mod pieces;
mod routing;
mod tunnel;

use common::{Answer, Lab, run};
use records::{Packet, Traced};
use serde_json::Value;

/// Runs a command in a node's network namespace.
fn within(lab: &Lab, node: &str, command: &[&str]) -> Answer {
    run("ip", &[&["netns", "exec", &lab.netns(node)], command].concat())
}

/// The lab's packets, as they were printed beside as they were read.
fn told<'t>(traced: &'t Traced, lab: &Lab) -> Vec<(&'t Packet, &'t Value)> {
    traced.packets.iter().zip(&traced.raw).filter(|(packet, _)| packet.is_of(lab)).collect()
}

/// The hops of a packet, as they were printed.
fn hops(packet: &Value) -> &[Value] {
    packet.get("hops").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// `/a/b` of a record; `null` where it is missing.
fn at<'v>(record: &'v Value, path: &str) -> &'v Value {
    record.pointer(path).unwrap_or(&Value::Null)
}
