//! Drops because of a device's state.

use serde::Serialize;

use super::Scene;
use super::inside::Inside;
use crate::netlink::{Link, Operstate};

/// The packet's device as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceState {
    /// Its name.
    pub name: String,
    /// Switched on.
    pub up: bool,
    /// Has carrier.
    pub carrier: bool,
    /// RFC 2863 state.
    pub operstate: Operstate,
    /// In bytes.
    pub mtu: u32,
    /// The bridge or bond it is a port of.
    pub master: Option<String>,
    /// Whether that is switched on.
    pub master_up: Option<bool>,
    /// Of a bridge's port: whether the bridge forwards through it (spanning tree).
    pub forwarding: Option<bool>,
}

pub(super) fn look(scene: &Scene<'_>, inside: &mut Inside<'_>) -> Option<DeviceState> {
    let link = inside.link(scene.ifindex?)?.clone();
    let master = link.master.and_then(|master| inside.link(master).cloned());
    let Link { name, up, lower_up, operstate, mtu, forwarding, .. } = link;
    Some(DeviceState {
        name,
        up,
        carrier: lower_up,
        operstate,
        mtu,
        master_up: master.as_ref().map(|master| master.up),
        master: master.map(|master| master.name),
        forwarding,
    })
}

impl DeviceState {
    /// Only what is not as it should be.
    pub(super) fn facts(&self) -> Vec<String> {
        let Self { name, .. } = self;
        let mut facts = Vec::new();
        if !self.up {
            facts.push(format!("{name} is down"));
        } else if !self.carrier {
            facts.push(format!("{name} is up but has no carrier: its other end is down or gone"));
        }
        match (&self.master, self.master_up, self.forwarding) {
            (Some(master), Some(false), _) => facts.push(format!("{master}, its bridge, is down")),
            (Some(master), _, Some(false)) => {
                facts.push(format!("{master} does not forward through it (spanning tree)"))
            }
            _ => {}
        }
        facts
    }
}
