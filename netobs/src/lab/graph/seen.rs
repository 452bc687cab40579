use std::collections::BTreeMap;

use serde::Serialize;

use super::super::state::State;
use super::super::teardown;
use super::super::topology::{Device, Node, Prefix};
use super::super::{Error, Result};
use crate::netlink::{Link, Socket};

/// What veth starts with; not worth showing.
const ETHERNET: u32 = 1500;

/// A device as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// Its node.
    pub node: String,
    /// Its name.
    pub device: String,
    /// It is there.
    pub exists: bool,
    /// It is switched on.
    pub up: bool,
    /// It has carrier.
    pub carrier: bool,
    /// In bytes; `null` if it is gone.
    pub mtu: Option<u32>,
    /// The bridge it is a port of.
    pub bridge: Option<String>,
    /// Its addresses but those that every link has.
    pub addresses: Vec<String>,
}

/// The state of a lab's devices; of a lab that is not up, nothing.
#[derive(Clone, Debug, Default)]
pub struct Seen(Option<BTreeMap<(String, String), Observed>>);

impl Seen {
    /// Looks into every node of a lab.
    pub fn look(state: &State) -> Result<Self> {
        let mut devices = BTreeMap::new();
        for (node, known) in state.topology.nodes.iter().zip(&state.nodes) {
            let netns = teardown::hold(known).filter(|_| !state.is_of_another_boot());
            let (mut links, mut addresses) = (Vec::new(), Vec::new());
            if let Some(netns) = netns {
                let mut socket = Socket::open_in(&netns).map_err(Error::netlink(&node.name))?;
                links = socket.links().map_err(Error::netlink(&node.name))?;
                addresses = socket.addresses().map_err(Error::netlink(&node.name))?;
            }
            for wanted in state.topology.devices_of(node) {
                let link = links.iter().find(|link| link.name == wanted.name());
                let own = addresses
                    .iter()
                    .filter(|found| !found.link_local && link.is_some_and(|link| link.ifindex == found.ifindex));
                let name_of =
                    |link: &Link| Some(links.iter().find(|other| Some(other.ifindex) == link.master)?.name.clone());
                let observed = Observed {
                    node: node.name.clone(),
                    device: wanted.name().to_owned(),
                    exists: link.is_some(),
                    up: link.is_some_and(|link| link.up),
                    carrier: link.is_some_and(|link| link.lower_up),
                    mtu: link.map(|link| link.mtu),
                    bridge: link.and_then(name_of),
                    addresses: own.map(|found| format!("{}/{}", found.address, found.prefix_length)).collect(),
                };
                devices.insert((node.name.clone(), wanted.name().to_owned()), observed);
            }
        }
        Ok(Self(Some(devices)))
    }

    /// Every device, or nothing if the lab is not up.
    pub fn devices(&self) -> Option<Vec<&Observed>> {
        self.0.as_ref().map(|devices| devices.values().collect())
    }

    /// A device in a few words: its name, what is wrong with it in capitals, its MTU if it is an unusual one, and its
    /// addresses. As the topology has it where nothing is known of it.
    pub(super) fn label(&self, node: &Node, device: Device<'_>) -> String {
        let known = self.0.as_ref().and_then(|devices| devices.get(&(node.name.clone(), device.name().to_owned())));
        let mut words = vec![device.name().to_owned()];
        let (mtu, addresses) = match known {
            None => {
                words.extend(device.is_down().then(|| "DOWN".to_owned()));
                (device.mtu(), device.addresses().iter().map(Prefix::to_string).collect())
            }
            Some(observed) => {
                let wrong = if !observed.exists {
                    Some("GONE")
                } else if !observed.up {
                    Some("DOWN")
                } else if observed.bridge.as_deref() != device.bridge() {
                    Some("UNPLUGGED")
                } else if !observed.carrier {
                    Some("NO CARRIER")
                } else {
                    None
                };
                words.extend(wrong.map(ToOwned::to_owned));
                (observed.mtu, observed.addresses.clone())
            }
        };
        let mtu = mtu.filter(|mtu| *mtu != ETHERNET);
        words.extend(mtu.map(|mtu| format!("mtu {mtu}")));
        words.extend::<Vec<String>>(addresses);
        words.join(" ")
    }

    /// Whether something is wrong with a device.
    pub(super) fn is_bad(&self, node: &Node, device: Device<'_>) -> bool {
        let known = self.0.as_ref().and_then(|devices| devices.get(&(node.name.clone(), device.name().to_owned())));
        known.is_some_and(|seen| !seen.up || !seen.carrier || seen.bridge.as_deref() != device.bridge())
    }
}
