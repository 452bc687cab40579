//! A topology as a list: every shape fits.

use super::super::topology::{Device, End, Topology};
use super::{Seen, facts};

/// Nodes with their devices, each with what it is connected to.
pub(super) fn list(topology: &Topology, seen: &Seen) -> String {
    let mut text = String::new();
    for node in &topology.nodes {
        text += &format!("{} — {}\n", node.name, node.role);
        for bridge in &node.bridges {
            text += &format!("  {} — a bridge\n", seen.label(node, Device::Bridge(bridge)));
        }
        for (own, other) in topology.links.iter().flat_map(both_ways).filter(|(own, _)| own.node == node.name) {
            let port = own.bridge.as_ref().map(|bridge| format!(", a port of {bridge}")).unwrap_or_default();
            text += &format!("  {}{port} ── {}/{}\n", seen.label(node, Device::End(own)), other.node, other.device);
        }
        for vxlan in &node.vxlans {
            let port = vxlan.bridge.as_ref().map(|bridge| format!(", a port of {bridge}")).unwrap_or_default();
            let (label, id) = (seen.label(node, Device::Vxlan(vxlan)), vxlan.id);
            text += &format!("  {label}{port} ══ VXLAN {id}, {} to {}\n", vxlan.local, vxlan.remote);
        }
        for lent in &node.lent {
            text += &format!("  {} ── the machine's own {}\n", seen.label(node, Device::Lent(lent)), lent.device);
        }
        for fact in facts(node) {
            text += &format!("  {fact}\n");
        }
    }
    text
}

fn both_ways(link: &super::super::topology::Link) -> [(&End, &End); 2] {
    let [one, other] = &link.ends;
    [(one, other), (other, one)]
}

#[cfg(test)]
mod tests {
    use super::super::super::default_topology;
    use super::list;

    #[test]
    fn names_every_device_once_and_its_peer() {
        let text = list(&default_topology(), &super::Seen::default());
        assert!(text.contains("  c1-h, a port of br0 ── c1/eth0\n"), "{text}");
        assert!(text.contains("  eth0 203.0.113.1/24 ── host/up0\n"), "{text}");
    }
}
