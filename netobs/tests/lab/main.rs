//! The lab as its users meet it: the real binary, on the running kernel.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod commands;
mod condition;
mod container;
mod crash;
mod lending;
mod mending;
mod network;
mod random;
mod removal;
mod topologies;

#[path = "../common/mod.rs"]
mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use common::{Answer, Lab, run};
use netobs::netns::{Netns, in_netns};

/// Emulated machines are about twenty times slower.
const LONG: Duration = Duration::from_secs(60);

fn in_namespace(lab: &Lab, node: &str, command: &[&str]) -> Answer {
    run("ip", &[&["netns", "exec", &lab.netns(node)], command].concat())
}

/// Asks for something over a connection that starts in a node.
fn converse(lab: &Lab, node: &str, to: &str, request: &[u8]) -> std::io::Result<String> {
    let to: SocketAddr = to.parse().unwrap();
    let netns = Netns::open(&lab.netns(node)).unwrap();
    let talk = || {
        let mut stream = TcpStream::connect_timeout(&to, LONG)?;
        stream.set_read_timeout(Some(LONG))?;
        stream.write_all(request)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    in_netns(&netns, talk).unwrap()
}
