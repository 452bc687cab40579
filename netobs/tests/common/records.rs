//! The contract's records, as a script would read them.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::common::{Lab, is_slow};

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Tuple {
    pub src: Option<String>,
    pub dst: Option<String>,
    pub sport: Option<u16>,
    pub dport: Option<u16>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Hop {
    pub offset_ns: u64,
    pub netns: Option<String>,
    pub device: Option<String>,
    pub hook: String,
    pub tuple: Tuple,
    pub ct: Option<Conntrack>,
    pub netfilter: Option<Netfilter>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Netfilter {
    pub verdict: Option<String>,
    pub out: Option<String>,
    pub bridged: bool,
    pub after: Option<Tuple>,
}

impl Hop {
    /// What netfilter decided here.
    pub fn verdict(&self) -> Option<&str> {
        self.netfilter.as_ref()?.verdict.as_deref()
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Conntrack {
    pub state: Option<String>,
    pub orig: Option<Tuple>,
    pub reply: Option<Tuple>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Nat {
    pub kind: String,
    pub netns: Option<String>,
    pub hook: Option<String>,
    pub rule: Option<Value>,
    pub before: Tuple,
    pub after: Tuple,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Drop {
    pub reason: Option<String>,
    pub netns: Option<String>,
    pub device: Option<String>,
    pub offset_ns: u64,
    pub function: Option<String>,
    pub hook: Option<String>,
    pub rule: Option<Value>,
    pub explanation: String,
}

#[derive(Clone, Deserialize)]
pub struct Packet {
    pub id: String,
    pub parent: Option<String>,
    pub relation: Option<String>,
    pub proto: String,
    pub info: Option<String>,
    pub length: u32,
    pub tuple: Tuple,
    pub hops: Vec<Hop>,
    pub nat: Vec<Nat>,
    pub neighbours: Vec<Neighbour>,
    pub outcome: String,
    pub drop: Option<Drop>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Neighbour {
    pub netns: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Summary {
    pub packets: u64,
    pub events: u64,
    pub decoded: u64,
    pub lost: std::collections::BTreeMap<String, u64>,
    pub probes: Vec<Probe>,
    pub command_status: Option<i32>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Probe {
    pub name: String,
    pub kind: String,
    pub attached: bool,
    pub why_not: Option<String>,
    pub events: u64,
}

impl Summary {
    /// What was counted, for whoever reads why a test failed.
    fn print(&self) {
        let Self { events, decoded, lost, command_status, .. } = self;
        println!("{events} events, {decoded} decoded, lost: {lost:?}, COMMAND: {command_status:?}");
        for probe in self.probes.iter().filter(|probe| probe.events > 0) {
            println!("  {}: {}", probe.name, probe.events);
        }
    }
}

/// In a few lines: what a failed test shows.
impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = |tuple: &Tuple| format!("{:?}:{:?} > {:?}:{:?}", tuple.src, tuple.sport, tuple.dst, tuple.dport);
        let short = |text: String| text.replace("Some(", "").replace([')', '"'], "");
        let Self { id, proto, length, outcome, .. } = self;
        let info = self.info.as_deref().unwrap_or_default();
        writeln!(f, "{id} {proto} {info} {length} bytes {} {outcome}", short(ports(&self.tuple)))?;
        if let (Some(parent), Some(relation)) = (&self.parent, &self.relation) {
            writeln!(f, "  {relation} of {parent}")?;
        }
        for hop in &self.hops {
            let place = short(format!("{:?}/{:?}", hop.netns, hop.device));
            let state = short(format!("{:?}", hop.ct.as_ref().and_then(|ct| ct.state.as_ref())));
            writeln!(f, "  {:>9} {place} {} {} ct {state}", hop.offset_ns, hop.hook, short(ports(&hop.tuple)))?;
        }
        for nat in &self.nat {
            writeln!(
                f,
                "  {} in {:?}: {} → {}",
                nat.kind,
                nat.netns,
                short(ports(&nat.before)),
                short(ports(&nat.after))
            )?;
        }
        if let Some(drop) = &self.drop {
            writeln!(f, "  {drop:?}")?;
        }
        Ok(())
    }
}

/// Everything one trace printed.
#[derive(Debug)]
pub struct Traced {
    pub packets: Vec<Packet>,
    pub summary: Summary,
    /// The packets as they were printed.
    pub raw: Vec<Value>,
}

impl Traced {
    /// Reads JSON lines: packets, then one summary.
    #[track_caller]
    pub fn read(lines: &[String]) -> Self {
        let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let mut raw: Vec<Value> = lines.iter().map(parse).collect();
        let summary = raw.pop().expect("a summary");
        assert_eq!(summary.get("type"), Some(&Value::from("summary")), "the last line");
        let others: Vec<_> = raw.iter().filter(|record| record.get("type") != Some(&Value::from("packet"))).collect();
        assert!(others.is_empty(), "neither packet nor summary: {others:#?}");
        let packets: Vec<Packet> = raw.iter().map(|packet| from(packet.clone())).collect();
        let summary: Summary = from(summary);
        summary.print();
        assert_eq!(summary.packets, packets.len() as u64);
        Self { packets, summary, raw }
    }

    /// Only the packets that were in that lab: the machine may have other traffic.
    pub fn of(&self, lab: &Lab) -> Vec<&Packet> {
        self.packets.iter().filter(|packet| packet.is_of(lab)).collect()
    }

    /// Fails the test if anything was lost.
    #[track_caller]
    pub fn nothing_lost(&self) {
        // A program that was not run for some packet may have missed one of another namespace: from 7.0 on a task can be
        // preempted in the middle of a program, and a slow processor gives it time to.
        let tolerated = |what: &str| if what == "missed" && is_slow() { 2 } else { 0 };
        assert!(self.summary.lost.iter().all(|(what, lost)| *lost <= tolerated(what)), "{:#?}", self.summary);
        assert_eq!(self.summary.events, self.summary.decoded);
    }
}

impl Packet {
    /// Whether it was seen in a namespace of that lab.
    pub fn is_of(&self, lab: &Lab) -> bool {
        let prefix = lab.netns("");
        let hops = self.hops.iter().map(|hop| &hop.netns);
        let ends = self.drop.as_ref().map(|drop| &drop.netns);
        let neighbours = self.neighbours.iter().map(|neighbour| &neighbour.netns);
        hops.chain(ends).chain(neighbours).flatten().any(|netns| netns.starts_with(&prefix))
    }

    /// Node and device, in the order it passed them. What the stack did in between is left out.
    pub fn path(&self, lab: &Lab) -> Vec<String> {
        let prefix = lab.netns("");
        let mut path: Vec<String> = Vec::new();
        for hop in self.hops.iter().filter(|hop| hop.hook.starts_with("net") || hop.hook.starts_with("tc_")) {
            let netns = hop.netns.as_deref().unwrap_or("?");
            let place = format!("{}/{}", netns.trim_start_matches(&prefix), hop.device.as_deref().unwrap_or("?"));
            if path.last() != Some(&place) {
                path.push(place);
            }
        }
        path
    }

    /// Source and destination address.
    pub fn ends(&self) -> (&str, &str) {
        (self.tuple.src.as_deref().unwrap_or("?"), self.tuple.dst.as_deref().unwrap_or("?"))
    }

    /// Fails the test unless time goes on from hop to hop.
    #[track_caller]
    pub fn offsets_rise(&self) {
        let offsets: Vec<_> = self.hops.iter().map(|hop| hop.offset_ns).collect();
        assert!(offsets.is_sorted(), "{offsets:?}");
        assert!(offsets.last() > offsets.first(), "{offsets:?}");
    }
}

fn from<T: for<'de> Deserialize<'de>>(value: Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value:#}"))
}
