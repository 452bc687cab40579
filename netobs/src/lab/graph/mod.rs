//! A topology as a picture.

mod dot;
mod drawing;
mod listing;
mod mermaid;
mod seen;

use super::topology::{Node, Service, Topology, Vxlan};

pub use dot::dot;
pub use mermaid::mermaid;
pub use seen::{Observed, Seen};

/// A terminal as narrow as this shows every picture whole.
pub const WIDTH: usize = 100;

/// The topology drawn with lines, if it has a shape that can be; else as a list.
pub fn text(topology: &Topology, seen: &Seen) -> String {
    drawing::draw(topology, seen).unwrap_or_else(|| listing::list(topology, seen))
}

/// What a node does beyond having links, a line each.
fn facts(node: &Node) -> Vec<String> {
    let mut facts = Vec::new();
    facts.extend(node.services.iter().map(Service::to_string));
    if let Some(limit) = node.memory_limit {
        facts.push(format!("memory limit {} MiB", limit >> 20));
    }
    if node.sysctls.get("net.ipv4.ip_forward").is_some_and(|value| value == "1") {
        facts.push("forwards IPv4".to_owned());
    }
    if let Some(percent) = node.cpu_percent {
        facts.push(format!("CPU limit {percent} %"));
    }
    for snat in &node.snat {
        facts.push(format!("hides {} behind {} on {}", snat.source, snat.to, snat.device));
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

/// The tunnels both of whose ends are in the topology, each once: node and device of either end, and its number.
fn tunnels(topology: &Topology) -> impl Iterator<Item = ((&str, &str), (&str, &str), u32)> {
    let ends = || topology.nodes.iter().flat_map(|node| node.vxlans.iter().map(move |vxlan| (node, vxlan)));
    ends().enumerate().flat_map(move |(index, (node, vxlan))| {
        let meets = move |(_, other): &(&Node, &Vxlan)| {
            (other.id, other.port, other.local, other.remote) == (vxlan.id, vxlan.port, vxlan.remote, vxlan.local)
        };
        let others = ends().skip(index + 1).filter(meets);
        others.map(move |(far, other)| {
            ((node.name.as_str(), vxlan.name.as_str()), (far.name.as_str(), other.name.as_str()), vxlan.id)
        })
    })
}
