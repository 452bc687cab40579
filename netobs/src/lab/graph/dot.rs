use super::super::topology::Topology;
use super::{device, facts};

/// The topology for Graphviz: `netobs lab graph --format dot | dot -Tsvg`.
pub fn dot(topology: &Topology) -> String {
    let mut text = format!("graph {} {{\n", quoted(&topology.name));
    text += "  node [shape=box, fontname=\"sans-serif\"]; edge [fontname=\"sans-serif\"];\n";
    for node in &topology.nodes {
        let mut label = vec![format!("{} — {}", node.name, node.role)];
        label.extend(facts(node));
        text += &format!("  subgraph {} {{\n", quoted(&format!("cluster_{}", node.name)));
        text += &format!("    label={}; labeljust=l; fontname=\"sans-serif\";\n", quoted(&label.join("\n")));
        for bridge in &node.bridges {
            let (id, shown) = (quoted(&id(&node.name, &bridge.name)), device(&bridge.name, &bridge.addresses));
            text += &format!("    {id} [label={}, shape=box3d];\n", quoted(&shown));
        }
        for end in topology.ends_in(&node.name) {
            let (own, shown) = (quoted(&id(&node.name, &end.device)), device(&end.device, &end.addresses));
            text += &format!("    {own} [label={}];\n", quoted(&shown));
            if let Some(bridge) = &end.bridge {
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
    text + "}\n"
}

fn id(node: &str, device: &str) -> String {
    format!("{node}/{device}")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\l"))
}
