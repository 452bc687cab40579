use super::super::topology::Topology;
use super::{device, facts};

/// The topology for Mermaid, which code hosts draw inside Markdown.
pub fn mermaid(topology: &Topology) -> String {
    let mut text = "flowchart TB\n".to_owned();
    for node in &topology.nodes {
        text += &format!("  subgraph {}[\"{} — {}\"]\n", id(&node.name, ""), node.name, escaped(&node.role));
        let facts = facts(node);
        if !facts.is_empty() {
            let lines = facts.iter().map(|fact| escaped(fact)).collect::<Vec<_>>().join("<br>");
            text += &format!("    {}[\"{lines}\"]\n", id(&node.name, "facts"));
        }
        for bridge in &node.bridges {
            let shown = escaped(&device(&bridge.name, &bridge.addresses));
            text += &format!("    {}[[\"{shown}\"]]\n", id(&node.name, &bridge.name));
        }
        for end in topology.ends_in(&node.name) {
            let own = id(&node.name, &end.device);
            text += &format!("    {own}[\"{}\"]\n", escaped(&device(&end.device, &end.addresses)));
            if let Some(bridge) = &end.bridge {
                text += &format!("    {own} === {}\n", id(&node.name, bridge));
            }
        }
        text += "  end\n";
    }
    for link in &topology.links {
        let [one, other] = &link.ends;
        text += &format!("  {} -- veth --- {}\n", id(&one.node, &one.device), id(&other.node, &other.device));
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
