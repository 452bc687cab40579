//! `netobs diagnose` on real networks: what is broken in them on purpose must be what it names, and nothing else.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

mod docker;
mod gate;
mod healthy;
mod invented;
mod pairs;
mod probe;
mod question;
mod way;

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/engines/mod.rs"]
mod engines;

use std::net::{IpAddr, SocketAddr};

use netobs::diagnose::endpoint::find;
use netobs::diagnose::machine::Machine;
use netobs::diagnose::{Diagnosis, Protocol, Question, Watcher, diagnose};

use common::{Answer, Lab, netobs, run, skip};

/// Asks from a node of a lab, to `ADDRESS` or `ADDRESS:PORT`, with a watcher that serves many.
#[track_caller]
fn ask(watcher: &mut Watcher, lab: &Lab, from: &str, to: &str) -> Diagnosis {
    let from = find(&lab.netns(from)).unwrap();
    let (to, port, protocol) = match (to.parse::<IpAddr>(), to.parse::<SocketAddr>()) {
        (Ok(address), _) => (address, None, Protocol::Icmp),
        (_, Ok(socket)) => (socket.ip(), Some(socket.port()), Protocol::Tcp),
        _ => unreachable!("{to}"),
    };
    diagnose(&mut Machine::new(), Some(watcher), &Question { from, to, port, protocol }, &mut |_| {})
}

/// Every cause that it names, in the order to mend them.
fn causes(diagnosis: &Diagnosis) -> Vec<&'static str> {
    diagnosis.cause.into_iter().chain(diagnosis.also.iter().map(|finding| finding.cause)).collect()
}

/// A watcher, if this kernel allows one.
fn watcher(test: &str) -> Option<Watcher> {
    if !common::can_make_labs(test, &["ip"]) {
        return None;
    }
    let mut watcher = Watcher::start(&[]);
    match watcher.ready() {
        Ok(()) => Some(watcher),
        Err(why) => {
            skip(test, &why);
            None
        }
    }
}

/// `netobs diagnose …`
fn told(arguments: &[&str]) -> Answer {
    run(netobs(), &[&["diagnose"], arguments].concat())
}
