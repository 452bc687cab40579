//! The record of how network namespaces are connected.

use serde::Serialize;

use crate::netlink::{Link, Operstate};
use crate::topology::{Device, Topology};

/// What a namespace belongs to, by the names that metrics have, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OwnerRecord {
    /// `docker`, `podman`, …
    pub runtime: Option<String>,
    /// The container's name, or the beginning of its id.
    pub container: Option<String>,
    /// The pod it is in.
    pub pod: Option<String>,
    /// The Kubernetes namespace of that.
    pub namespace: Option<String>,
}

/// The machine's network namespaces at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopologyRecord {
    /// Always `topology`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// When it was read, RFC 3339.
    pub time: Option<String>,
    /// Each namespace that could be looked into.
    pub namespaces: Vec<NamespaceRecord>,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamespaceRecord {
    /// Its name.
    pub netns: String,
    /// Its inode.
    pub netns_inode: u32,
    /// Whose it is.
    #[serde(flatten)]
    pub owner: OwnerRecord,
    /// Its devices, by number.
    pub devices: Vec<DeviceRecord>,
    /// Those of them that are bridges.
    pub bridges: Vec<BridgePortsRecord>,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceRecord {
    /// Its name.
    pub device: String,
    /// Its number in its namespace.
    pub ifindex: u32,
    /// Its driver's kind: `veth`, `bridge`, …; null for hardware and `lo`.
    pub kind: Option<String>,
    /// Its link-layer address.
    pub mac: Option<String>,
    /// In bytes.
    pub mtu: u32,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether it has carrier.
    pub carrier: bool,
    /// RFC 2863 state, in the kernel's word.
    pub operstate: Operstate,
    /// Its addresses with the length of their prefixes.
    pub addresses: Vec<String>,
    /// The bridge or bond that it is a port of.
    pub master: Option<String>,
    /// The other end of a veth; null of any other, and where it is in no namespace that could be looked into.
    pub peer: Option<EndRecord>,
    /// What a VLAN, macvlan or VXLAN device sits on.
    pub parent: Option<EndRecord>,
    /// Of a VLAN device: its number.
    pub vlan: Option<u16>,
    /// Of a VXLAN device: where it leads.
    pub vxlan: Option<TunnelRecord>,
}

/// A device that another is connected to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndRecord {
    /// The namespace's name.
    pub netns: String,
    /// The namespace's inode.
    pub netns_inode: u32,
    /// The device's name; null if it was gone by then.
    pub device: Option<String>,
    /// The device's number there.
    pub ifindex: u32,
}

/// A VXLAN tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TunnelRecord {
    /// The VXLAN network identifier.
    pub id: Option<u32>,
    /// The address its packets come from.
    pub local: Option<String>,
    /// Where everything goes whose destination has not been learned.
    pub remote: Option<String>,
    /// The UDP port.
    pub port: Option<u16>,
}

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BridgePortsRecord {
    /// Its name.
    pub device: String,
    /// Its ports.
    pub ports: Vec<String>,
}

impl TopologyRecord {
    /// What there is to say; `named` gives each namespace its name and owner.
    pub fn of<T>(topology: &Topology<T>, time: Option<String>, named: impl Fn(&T) -> (String, OwnerRecord)) -> Self {
        let namespaces = topology.members.iter().map(|member| {
            let name_of = |link: &Link| Some(member.device(link.master?)?.link.name.clone());
            let device = |device: &Device| {
                let end = device.other.as_ref().and_then(|place| {
                    let member = topology.members.get(place.member)?;
                    Some(EndRecord {
                        netns: named(&member.whose).0,
                        netns_inode: member.inode.0,
                        device: member.device(place.ifindex).map(|device| device.link.name.clone()),
                        ifindex: place.ifindex.0,
                    })
                });
                DeviceRecord::of(device, name_of(&device.link), end)
            };
            let bridges = member.devices.iter().filter(|device| device.link.kind.as_deref() == Some("bridge"));
            let ports = |bridge: &Link| {
                let all = member.devices.iter().map(|device| &device.link);
                all.filter(|link| link.master == Some(bridge.ifindex)).map(|link| link.name.clone()).collect()
            };
            let (netns, owner) = named(&member.whose);
            NamespaceRecord {
                netns,
                netns_inode: member.inode.0,
                owner,
                devices: member.devices.iter().map(device).collect(),
                bridges: bridges
                    .map(|Device { link, .. }| BridgePortsRecord { device: link.name.clone(), ports: ports(link) })
                    .collect(),
            }
        });
        Self { kind: "topology", time, namespaces: namespaces.collect() }
    }
}

impl DeviceRecord {
    fn of(device: &Device, master: Option<String>, end: Option<EndRecord>) -> Self {
        let Device { link, addresses, .. } = device;
        let (peer, parent) = if link.kind.as_deref() == Some("veth") { (end, None) } else { (None, end) };
        Self {
            device: link.name.clone(),
            ifindex: link.ifindex.0,
            kind: link.kind.clone(),
            mac: link.mac.map(|mac| mac.to_string()),
            mtu: link.mtu,
            up: link.up,
            carrier: link.lower_up,
            operstate: link.operstate,
            addresses: addresses.iter().map(|own| format!("{}/{}", own.address, own.prefix_length)).collect(),
            master,
            peer,
            parent,
            vlan: link.vlan,
            vxlan: link.vxlan.map(|vxlan| TunnelRecord {
                id: vxlan.id,
                local: vxlan.local.map(|address| address.to_string()),
                remote: vxlan.remote.map(|address| address.to_string()),
                port: vxlan.port,
            }),
        }
    }
}
