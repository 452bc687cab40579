//! Nobody at the end.

use std::net::IpAddr;

use super::Seen;
use crate::diagnose::{Finding, Rung};
use crate::evidence::Evidence;

/// No socket took it.
pub(in super::super) fn no_socket(seen: &Seen<'_>) -> Option<Finding> {
    let Some(Evidence::NoListener(found)) = &seen.drop.evidence else { return None };
    let (netns, proto, port) = (seen.netns(), found.proto, found.port);
    if found.on_port.is_empty() {
        let sentence = format!("The packet arrives in {netns}, where nobody listens on {proto} port {port}.");
        let what = format!("no socket listens on {proto} port {port}");
        return Some(seen.finding("no-listener", Rung::Listener, what, sentence));
    }
    let is_loopback = |address: &str| address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    found.on_port.iter().all(|listener| is_loopback(&listener.address)).then(|| {
        let who = found.on_port.iter().find_map(|listener| listener.process.as_deref()).unwrap_or("the one who listens");
        let sentence = format!(
            "The packet arrives in {netns}, where {who} listens on {proto} port {port} of the loopback address only, and \
             not on {}.",
            found.address
        );
        let what = format!("{proto} port {port} is bound to the loopback address");
        seen.finding("listener-on-loopback", Rung::Listener, what, sentence)
    })
}
