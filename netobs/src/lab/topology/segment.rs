use super::{End, Prefix, Topology};

/// A device that takes part in a segment with its own addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Station<'a> {
    /// The node it is in.
    pub(in super::super) node: &'a str,
    /// Its name there.
    pub(in super::super) device: &'a str,
}

impl<'a> Station<'a> {
    /// Its addresses.
    pub(in super::super) fn addresses(self, topology: &'a Topology) -> &'a [Prefix] {
        let node = topology.node(self.node);
        let device = node.and_then(|node| topology.devices_of(node).find(|device| device.name() == self.device));
        device.map(super::Device::addresses).unwrap_or_default()
    }
}

/// Groups of devices that hear each other: the two ends of a cable, or a bridge and all that is plugged into it. Bridges
/// joined by cables are one group for each bridge, which is enough to find every direct neighbour. What is switched off
/// hears nobody.
pub(in super::super) fn segments(topology: &Topology) -> Vec<Vec<Station<'_>>> {
    let mut segments = Vec::new();
    let live = || topology.links.iter().filter(|link| link.ends.iter().all(|end| !end.down));
    for node in &topology.nodes {
        for bridge in node.bridges.iter().filter(|bridge| !bridge.down) {
            let mut stations = vec![Station { node: &node.name, device: &bridge.name }];
            for link in live() {
                let [one, other] = &link.ends;
                let plugged = |end: &End| end.node == node.name && end.bridge.as_ref() == Some(&bridge.name);
                match (plugged(one), plugged(other)) {
                    (true, false) => stations.extend(station(topology, other)),
                    (false, true) => stations.extend(station(topology, one)),
                    (true, true) | (false, false) => {}
                }
            }
            segments.push(stations);
        }
    }
    let direct = live().filter(|link| link.ends.iter().all(|end| end.bridge.is_none()));
    segments.extend(direct.map(|link| link.ends.iter().filter_map(|end| station(topology, end)).collect()));
    segments
}

/// What hears the traffic of an end: itself, or its bridge, unless that is switched off.
fn station<'a>(topology: &'a Topology, end: &'a End) -> Option<Station<'a>> {
    let Some(bridge) = &end.bridge else { return Some(Station { node: &end.node, device: &end.device }) };
    let bridge = topology.node(&end.node)?.bridges.iter().find(|known| &known.name == bridge && !known.down)?;
    Some(Station { node: &end.node, device: &bridge.name })
}
