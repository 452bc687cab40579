use super::super::topology::{Device, Topology};
use super::{Seen, facts};

/// The topology for Mermaid, which code hosts draw inside Markdown.
pub fn mermaid(topology: &Topology, seen: &Seen) -> String {
    let mut text = "flowchart TB\n".to_owned();
    for node in &topology.nodes {
        text += &format!("  subgraph {}[\"{} — {}\"]\n", id(&node.name, ""), node.name, escaped(&node.role));
        let facts = facts(node);
        if !facts.is_empty() {
            let lines = facts.iter().map(|fact| escaped(fact)).collect::<Vec<_>>().join("<br>");
            text += &format!("    {}[\"{lines}\"]\n", id(&node.name, "facts"));
        }
        for bridge in &node.bridges {
            let shown = escaped(&seen.label(node, Device::Bridge(bridge)));
            text += &format!("    {}[[\"{shown}\"]]\n", id(&node.name, &bridge.name));
        }
        for device in topology.devices_of(node).filter(|device| !matches!(device, Device::Bridge(_))) {
            let own = id(&node.name, device.name());
            text += &format!("    {own}[\"{}\"]\n", escaped(&seen.label(node, device)));
            if let Some(bridge) = device.bridge() {
                text += &format!("    {own} === {}\n", id(&node.name, bridge));
            }
        }
        text += "  end\n";
        let bad = topology.devices_of(node).filter(|device| seen.is_bad(node, *device));
        text +=
            &bad.map(|device| format!("  style {} stroke:red\n", id(&node.name, device.name()))).collect::<String>();
    }
    for link in &topology.links {
        let [one, other] = &link.ends;
        text += &format!("  {} -- veth --- {}\n", id(&one.node, &one.device), id(&other.node, &other.device));
    }
    for ((a, one), (b, other), vni) in super::tunnels(topology) {
        text += &format!("  {} -. VXLAN {vni} .- {}\n", id(a, one), id(b, other));
    }
    text
}

/// Mermaid's names are letters, digits and underscores; a word of its own (`end`) must not stand alone.
fn id(node: &str, device: &str) -> String {
    format!("n_{node}_{device}").replace('-', "_")
}

fn escaped(text: &str) -> String {
    text.replace('"', "#quot;")
}
