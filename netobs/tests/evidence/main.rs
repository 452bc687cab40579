//! What `netobs trace` says beside a packet's way: why it died, by the state of the machine, what is inside it, and who
//! got it. Each cause is brought about with `ip`, `nft` or `sysctl` in a lab of the test's own.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/conntrack.rs"]
mod conntrack;
#[path = "../common/records.rs"]
mod records;
#[path = "../common/tracer.rs"]
mod tracer;

mod causes;
mod delivery;
mod icmp;
mod mss;
mod vxlan;

use common::{Answer, Lab, run};
use records::{Packet, Traced};
use serde_json::Value;

/// Runs a command in a node's network namespace.
fn within(lab: &Lab, node: &str, command: &[&str]) -> Answer {
    run("ip", &[&["netns", "exec", &lab.netns(node)], command].concat())
}

/// The lab's packets, as they were printed beside as they were read. Some die before they come to a device.
fn told<'t>(traced: &'t Traced, lab: &Lab) -> Vec<(&'t Packet, &'t Value)> {
    let prefix = lab.netns("");
    let died_there = |packet: &Packet| {
        let netns = packet.drop.as_ref().and_then(|drop| drop.netns.as_ref());
        netns.is_some_and(|netns| netns.starts_with(&prefix))
    };
    traced.packets.iter().zip(&traced.raw).filter(|(packet, _)| packet.is_of(lab) || died_there(packet)).collect()
}

/// `/a/b` of a record; `null` where it is missing.
fn at<'v>(record: &'v Value, path: &str) -> &'v Value {
    record.pointer(path).unwrap_or(&Value::Null)
}
