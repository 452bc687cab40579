//! Drops because nobody listens.

use std::collections::HashSet;
use std::net::IpAddr;

use serde::Serialize;

use super::Scene;
use super::process::Processes;
use crate::event::Proto;
use crate::netlink::{DiagSocket, InetSocket, Transport};
use crate::netns::Netns;

/// Other listeners named in text.
const NAMED: usize = 6;
/// Other listeners listed in JSON.
const LISTED: usize = 32;

/// A socket that waits for packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// Where it is bound; `0.0.0.0` or `::` for all addresses.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// The process that has it, by its own name for itself.
    pub process: Option<String>,
    /// That process's id.
    pub pid: Option<i32>,
}

/// Who listens in the namespace, if not to this packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoListener {
    /// `tcp` or `udp`.
    pub proto: &'static str,
    /// The address it was sent to.
    pub address: String,
    /// The port it was sent to.
    pub port: u16,
    /// Sockets on that port, whatever address they are bound to.
    pub on_port: Vec<Listener>,
    /// Sockets on other ports, the lowest 32.
    pub elsewhere: Vec<Listener>,
}

pub(super) fn look(scene: &Scene<'_>, netns: &Netns, processes: &mut Processes) -> Option<NoListener> {
    let transport = match scene.headers.proto {
        Proto::Tcp => Transport::Tcp,
        Proto::Udp => Transport::Udp,
        _ => return None,
    };
    let (address, port) = (scene.destination()?, scene.headers.tuple.dport?);
    let mut sockets = DiagSocket::open_in(netns).ok()?.listeners(transport).ok()?;
    sockets.sort_by_key(|socket| (socket.local.port(), socket.local.ip()));
    let (on_port, others): (Vec<_>, Vec<_>) = sockets.into_iter().partition(|socket| socket.local.port() == port);
    let mut listener = |InetSocket { local, inode, .. }: InetSocket| {
        let process = inode.and_then(|inode| processes.of(inode));
        Listener {
            address: local.ip().to_canonical().to_string(),
            port: local.port(),
            process: process.map(|process| process.name.clone()),
            pid: process.map(|process| process.pid),
        }
    };
    Some(NoListener {
        proto: transport.name(),
        address: address.to_string(),
        port,
        on_port: on_port.into_iter().map(&mut listener).collect(),
        elsewhere: others.into_iter().take(LISTED).map(&mut listener).collect(),
    })
}

impl NoListener {
    pub(super) fn facts(&self, scene: &Scene<'_>) -> Vec<String> {
        let Self { proto, port, address, .. } = self;
        let place = scene.in_netns();
        if self.on_port.iter().any(|listener| self.would_take(listener)) {
            let who = named(&self.on_port, |listener| listener.process.clone());
            return vec![match *proto {
                "tcp" => format!(
                    "tcp port {port} is listened to{place}{}, so this segment belongs to no connection there",
                    by(&who)
                ),
                _ => format!("{proto} port {port} has a socket{place} by now{}", by(&who)),
            }];
        }
        let mut facts = Vec::new();
        if self.on_port.is_empty() {
            facts.push(format!("nothing listens on {proto} port {port}{place}"));
        } else {
            let bound = named(&self.on_port, |listener| Some(listener.address.clone()));
            facts.push(format!("{proto} port {port}{place} is listened to on {bound} only, not on {address}"));
        }
        let others = named(&self.elsewhere, |listener| {
            let who = listener.process.as_ref().map(|process| format!(" ({process})")).unwrap_or_default();
            Some(format!("{}{who}", listener.port))
        });
        facts.push(if others.is_empty() {
            format!("no {proto} port at all is listened to there")
        } else if self.on_port.is_empty() {
            format!("listening there: {others}")
        } else {
            return facts;
        });
        facts
    }

    /// Whether a socket bound so would get a packet for our address.
    fn would_take(&self, listener: &Listener) -> bool {
        let same = |text: &str| -> Option<bool> {
            let (bound, wanted): (IpAddr, IpAddr) = (text.parse().ok()?, self.address.parse().ok()?);
            // `::` takes IPv4 too unless told not to.
            Some(bound == wanted || (bound.is_unspecified() && (bound.is_ipv6() || wanted.is_ipv4())))
        };
        same(&listener.address).unwrap_or(false)
    }
}

fn by(who: &str) -> String {
    if who.is_empty() { String::new() } else { format!(" by {who}") }
}

/// The first few different ones, in their order.
fn named(listeners: &[Listener], name: impl Fn(&Listener) -> Option<String>) -> String {
    let mut seen = HashSet::new();
    let all: Vec<String> = listeners.iter().filter_map(name).filter(|name| seen.insert(name.clone())).collect();
    let more = if all.len() > NAMED { format!(" and {} more", all.len() - NAMED) } else { String::new() };
    format!("{}{more}", all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", "))
}
