//! Drops of frames too large for a bridge port, or for a veth's other end.

use serde::Serialize;

use super::Scene;
use super::inside::Inside;
use crate::netlink::Link;
use crate::state::Namespaces;

/// The frame, and the device that did not take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkMtu {
    /// The packet's bytes without the Ethernet header.
    pub length: u32,
    /// The device that did not take it.
    pub device: String,
    /// The namespace it is in.
    pub netns: Option<String>,
    /// Its MTU.
    pub mtu: u32,
    /// Whether it is switched on.
    pub up: bool,
    /// What the sender is told: at this level, never anything.
    pub answered_with: Option<&'static str>,
}

pub(super) fn look(scene: &Scene<'_>, inside: &mut Inside<'_>, namespaces: &mut Namespaces) -> Option<LinkMtu> {
    let link = inside.link(scene.ifindex?)?.clone();
    // The bridge looks at the port it sends by (`br_dev_queue_push_xmit`), a veth at its other end (`____dev_forward_skb`).
    let by_bridge = scene.function.is_some_and(|function| function.starts_with("br_"));
    let (netns, link) =
        if by_bridge { (scene.netns.map(str::to_owned), link) } else { other_end(&link, scene, inside, namespaces)? };
    let Link { name, mtu, up, .. } = link;
    Some(LinkMtu { length: scene.ip_length(), device: name, netns, mtu, up, answered_with: None })
}

/// The link at a veth's other end, and the name of the namespace it is in.
fn other_end(
    link: &Link,
    scene: &Scene<'_>,
    inside: &mut Inside<'_>,
    namespaces: &mut Namespaces,
) -> Option<(Option<String>, Link)> {
    let peer = link.peer?;
    let Some(id) = link.link_netnsid else {
        return Some((scene.netns.map(str::to_owned), inside.link(peer)?.clone()));
    };
    for (inode, name) in namespaces.all() {
        let Some(netns) = namespaces.open(inode) else { continue };
        if inside.socket.netns_id(&netns).ok().flatten() == Some(id) {
            return Some((Some(name), Inside::open(&netns)?.link(peer)?.clone()));
        }
    }
    None
}

impl LinkMtu {
    pub(super) fn facts(&self) -> Vec<String> {
        let Self { length, device, mtu, .. } = self;
        let place = self.netns.as_ref().map(|netns| format!(" in {netns}")).unwrap_or_default();
        let mut facts = Vec::new();
        if !self.up {
            facts.push(format!("{device}{place} is down"));
        }
        if length > mtu {
            facts.push(format!("the packet has {length} bytes, and {device}{place} takes {mtu} (its MTU)"));
            facts.push("no ICMP tells the sender: bridges and veth drop without a word".into());
        }
        facts
    }
}
