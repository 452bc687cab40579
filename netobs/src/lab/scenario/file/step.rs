//! `[[setup]]`, `[[break]]`, `[[fix]]`: what a step does.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use super::super::super::Prefix;
use super::super::step::{Action, ConntrackStep, LinkStep, Step};
use super::choice::only;
use crate::netlink::MacAddress;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStep {
    node: String,
    link: Option<RawLink>,
    address: Option<RawAddress>,
    route: Option<RawRoute>,
    sysctl: Option<BTreeMap<String, Setting>>,
    neighbour: Option<RawNeighbour>,
    forget_neighbours: Option<String>,
    nat: Option<bool>,
    nft: Option<String>,
    services: Option<bool>,
    resolver: Option<IpAddr>,
    memory: Option<u64>,
    conntrack: Option<RawConntrack>,
    run: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a number or a text")]
enum Setting {
    Number(i64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLink {
    device: String,
    up: Option<bool>,
    mtu: Option<u32>,
    /// Empty: of no bridge.
    master: Option<String>,
    mac: Option<String>,
    hairpin: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAddress {
    device: String,
    add: Option<Prefix>,
    delete: Option<Prefix>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRoute {
    add: Option<String>,
    delete: Option<String>,
    via: Option<IpAddr>,
    device: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNeighbour {
    device: String,
    address: IpAddr,
    mac: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawConntrack {
    FillAssured,
    FillUnassured,
    Flush,
}

impl RawStep {
    pub(super) fn read(self) -> Result<Step, String> {
        let conntrack = self.conntrack.map(|step| match step {
            RawConntrack::FillAssured => ConntrackStep::FillAssured,
            RawConntrack::FillUnassured => ConntrackStep::FillUnassured,
            RawConntrack::Flush => ConntrackStep::Flush,
        });
        let settings = self.sysctl.map(|settings| {
            let text = |setting| match setting {
                Setting::Number(number) => number.to_string(),
                Setting::Text(text) => text,
            };
            settings.into_iter().map(|(key, setting)| (key, text(setting))).collect()
        });
        let action = only(
            "a step",
            vec![
                ("link", self.link.map(RawLink::read).transpose()?),
                ("address", self.address.map(RawAddress::read).transpose()?),
                ("route", self.route.map(RawRoute::read).transpose()?),
                ("sysctl", settings.map(sysctl).transpose()?),
                ("neighbour", self.neighbour.map(RawNeighbour::read).transpose()?),
                ("forget_neighbours", self.forget_neighbours.map(|device| Action::ForgetNeighbours { device })),
                ("nat", self.nat.map(Action::Nat)),
                ("nft", self.nft.map(Action::Nft)),
                ("services", self.services.map(Action::Services)),
                ("resolver", self.resolver.map(Action::Resolver)),
                ("memory", self.memory.map(Action::Memory)),
                ("conntrack", conntrack.map(Action::Conntrack)),
                ("run", self.run.map(command).transpose()?.map(Action::Run)),
            ],
        )?;
        Ok(Step { node: self.node, action })
    }
}

/// A setting of another kind might be the whole machine's.
fn sysctl(settings: BTreeMap<String, String>) -> Result<Action, String> {
    for key in settings.keys() {
        setting_key(key)?;
    }
    Ok(Action::Sysctl(settings))
}

pub(super) fn setting_key(key: &str) -> Result<(), String> {
    let sound = key.starts_with("net.") && !key.contains('/') && !key.contains("..");
    // These two are written through every namespace to the one value that the machine has.
    let shared = ["net.netfilter.nf_conntrack_max", "net.nf_conntrack_max", "net.netfilter.nf_conntrack_buckets"];
    if sound && !shared.contains(&key) {
        Ok(())
    } else {
        Err(format!("`{key}` is not a setting of a network namespace (net.…)"))
    }
}

pub(super) fn command(words: Vec<String>) -> Result<Vec<String>, String> {
    if words.is_empty() { Err("`run` is a list of words, a program first".to_owned()) } else { Ok(words) }
}

fn mac(text: &str) -> Result<MacAddress, String> {
    let bad = || format!("`{text}` is not a link-layer address like 02:42:0a:28:00:02");
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).map(MacAddress).ok_or_else(bad)
}

impl RawLink {
    fn read(self) -> Result<Action, String> {
        let master = self.master.map(|master| if master.is_empty() { None } else { Some(master) });
        let mac = self.mac.as_deref().map(mac).transpose()?;
        let Self { device, up, mtu, hairpin, .. } = self;
        let step = LinkStep { device, up, mtu, master, mac, hairpin };
        if step == (LinkStep { device: step.device.clone(), ..LinkStep::default() }) {
            return Err("`link` changes one or more of: up, mtu, master, mac, hairpin".to_owned());
        }
        Ok(Action::Link(step))
    }
}

impl RawAddress {
    fn read(self) -> Result<Action, String> {
        let device = self.device;
        match (self.add, self.delete) {
            (Some(address), None) => Ok(Action::Address { device, add: true, address }),
            (None, Some(address)) => Ok(Action::Address { device, add: false, address }),
            _ => Err("`address` has either `add` or `delete`".to_owned()),
        }
    }
}

impl RawRoute {
    fn read(self) -> Result<Action, String> {
        let (add, to) = match (self.add, self.delete) {
            (Some(to), None) => (true, to),
            (None, Some(to)) => (false, to),
            _ => return Err("`route` has either `add` or `delete`: a prefix, or \"default\"".to_owned()),
        };
        let to = if to == "default" { None } else { Some(to.parse::<Prefix>().map_err(|error| error.to_string())?) };
        if add && self.via.is_none() && self.device.is_none() {
            return Err("a route leads `via` a gateway or to a `device`".to_owned());
        }
        Ok(Action::Route { add, to, via: self.via, device: self.device })
    }
}

impl RawNeighbour {
    fn read(self) -> Result<Action, String> {
        Ok(Action::Neighbour { device: self.device, address: self.address, mac: mac(&self.mac)? })
    }
}
