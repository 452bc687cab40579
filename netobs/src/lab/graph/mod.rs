//! A topology as a picture.

mod dot;
mod drawing;
mod listing;
mod mermaid;

use super::topology::{Node, Prefix, Service, Topology};

pub use dot::dot;
pub use mermaid::mermaid;

/// A terminal as narrow as this shows every picture whole.
pub const WIDTH: usize = 100;

/// The topology drawn with lines, if it has a shape that can be; else as a list.
pub fn text(topology: &Topology) -> String {
    drawing::draw(topology).unwrap_or_else(|| listing::list(topology))
}

/// What a node does beyond having links, a line each.
fn facts(node: &Node) -> Vec<String> {
    let mut facts = Vec::new();
    for Service::Http { port } in &node.services {
        facts.push(format!("http server on port {port}"));
    }
    if let Some(limit) = node.memory_limit {
        facts.push(format!("memory limit {} MiB", limit >> 20));
    }
    if node.sysctls.get("net.ipv4.ip_forward").is_some_and(|value| value == "1") {
        facts.push("forwards IPv4".to_owned());
    }
    for hidden in &node.masquerade {
        facts.push(format!("masquerades {} unless it leaves by {}", hidden.source, hidden.except));
    }
    for published in &node.published {
        let (protocol, port) = (published.protocol, published.port);
        facts.push(format!("publishes {port}/{protocol} → {}:{}", published.to, published.to_port));
    }
    for route in &node.routes {
        facts.push(route.to_string());
    }
    for address in &node.loopback {
        facts.push(format!("lo {address}"));
    }
    facts
}

/// A device with its addresses.
fn device(name: &str, addresses: &[Prefix]) -> String {
    addresses.iter().fold(name.to_owned(), |text, address| format!("{text} {address}"))
}
