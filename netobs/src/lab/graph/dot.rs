use super::super::topology::{Device, Topology};
use super::{Seen, facts};

/// The topology for Graphviz: `netobs lab graph --format dot | dot -Tsvg`.
pub fn dot(topology: &Topology, seen: &Seen) -> String {
    let mut text = format!("graph {} {{\n", quoted(&topology.name));
    text += "  node [shape=box, fontname=\"sans-serif\"]; edge [fontname=\"sans-serif\"];\n";
    for node in &topology.nodes {
        let mut label = vec![format!("{} — {}", node.name, node.role)];
        label.extend(facts(node));
        text += &format!("  subgraph {} {{\n", quoted(&format!("cluster_{}", node.name)));
        text += &format!("    label={}; labeljust=l; fontname=\"sans-serif\";\n", quoted(&label.join("\n")));
        for bridge in &node.bridges {
            let (id, device) = (quoted(&id(&node.name, &bridge.name)), Device::Bridge(bridge));
            let colour = if seen.is_bad(node, device) { ", color=red" } else { "" };
            text += &format!("    {id} [label={}, shape=box3d{colour}];\n", quoted(&seen.label(node, device)));
        }
        for device in topology.devices_of(node).filter(|device| !matches!(device, Device::Bridge(_))) {
            let own = quoted(&id(&node.name, device.name()));
            let colour = if seen.is_bad(node, device) { ", color=red" } else { "" };
            text += &format!("    {own} [label={}{colour}];\n", quoted(&seen.label(node, device)));
            if let Some(bridge) = device.bridge() {
                text += &format!("    {own} -- {} [style=bold];\n", quoted(&id(&node.name, bridge)));
            }
        }
        text += "  }\n";
    }
    for link in &topology.links {
        let [one, other] = &link.ends;
        let (one, other) = (id(&one.node, &one.device), id(&other.node, &other.device));
        text += &format!("  {} -- {} [label=\"veth\"];\n", quoted(&one), quoted(&other));
    }
    for (one, other, id) in tunnels(topology) {
        text += &format!("  {} -- {} [label=\"VXLAN {id}\", style=dashed];\n", quoted(&one), quoted(&other));
    }
    text + "}\n"
}

/// The tunnels both of whose ends are in the topology.
fn tunnels(topology: &Topology) -> Vec<(String, String, u32)> {
    super::tunnels(topology).map(|((a, one), (b, other), vni)| (id(a, one), id(b, other), vni)).collect()
}

fn id(node: &str, device: &str) -> String {
    format!("{node}/{device}")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\l"))
}
