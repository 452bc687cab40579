//! Reading a scenario's file. Each entry is read for itself, so that one mistake does not hide the next.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IntoDeserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::super::Prefix;
use super::asking::Asking;
use super::check::{Attempt, Check, Outcome};
use super::counter::Counter;
use super::problem::{Problem, Problems};
use super::signal::{DropSignal, Sighting, Signal};
use super::step::{Action, ConntrackStep, LinkStep, Step};
use super::validate::{Lined, validate};
use super::{Explain, Need, Needed, Scenario};
use crate::diagnose::{Protocol, Target, TargetError};
use crate::netlink::MacAddress;

impl Scenario {
    /// Reads a scenario; `file` is what messages call it.
    ///
    /// # Errors
    /// All that is wrong, each with its line.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let mut reader = Reader { text, problems: Vec::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            reader.error(error, None);
        }
        let scenario = if errors.is_empty() { reader.scenario(table.into_inner()) } else { None };
        let mut problems = reader.problems;
        problems.sort();
        problems.dedup();
        match scenario {
            Some(scenario) if problems.is_empty() => Ok(scenario),
            Some(_) | None => Err(Problems { file: file.to_owned(), problems }),
        }
    }
}

/// What no scenario can do without, besides its texts.
const PARTS: [&str; 6] = ["explain", "healthy", "break", "symptom", "signal", "fix"];

fn heading(part: &str) -> String {
    if part == "explain" { format!("[{part}]") } else { format!("[[{part}]]") }
}

struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    fn problem(&mut self, line: Option<usize>, reason: impl Into<String>) {
        self.problems.push(Problem { line, reason: reason.into() });
    }

    fn error(&mut self, error: &toml::de::Error, line: Option<usize>) {
        let line = error.span().map(|span| self.line(span.start)).or(line);
        let said = error.message().trim().replace('\n', ", ");
        self.problem(line, said);
    }

    fn scenario(&mut self, mut table: DeTable<'_>) -> Option<Scenario> {
        let name = self.text_of(&mut table, "name");
        let title = self.text_of(&mut table, "title");
        let cause = self.text_of(&mut table, "cause");
        let topology = self.take(&mut table, "topology").unwrap_or_else(|| "default".to_owned());
        let fault: Option<String> = self.take(&mut table, "fault");
        let absent: Vec<&str> = PARTS.into_iter().filter(|part| !table.contains_key(*part)).collect();
        let explain: Option<Explain> = self.take(&mut table, "explain");
        let needs = self.each(&mut table, "needs", RawNeed::read);
        let setup = self.each(&mut table, "setup", RawStep::read);
        let healthy = self.each(&mut table, "healthy", RawCheck::read);
        let breaks = self.each(&mut table, "break", RawStep::read);
        let symptoms = self.each(&mut table, "symptom", RawCheck::read);
        let signals = self.each(&mut table, "signal", RawSignal::read);
        let asking = self.one(&mut table, "diagnose", RawAsking::read);
        let fixes = self.each(&mut table, "fix", RawStep::read);
        for (key, _) in table {
            let line = self.line(key.span().start);
            self.problem(Some(line), format!("`{}` is nothing a scenario has", key.get_ref()));
        }
        for part in absent {
            self.problem(None, format!("{part} is missing", part = heading(part)));
        }
        self.problems.extend(validate(name.as_deref(), &healthy, &symptoms, &signals));
        let name = name?;
        Some(Scenario {
            fault: fault.unwrap_or_else(|| name.clone()),
            name,
            title: title?,
            topology,
            cause: cause?,
            explain: explain?,
            needs: bare(needs),
            setup: bare(setup),
            healthy: bare(healthy),
            breaks: bare(breaks),
            symptoms: bare(symptoms),
            signals: bare(signals),
            asking,
            fixes: bare(fixes),
        })
    }

    /// A text that must be there.
    fn text_of(&mut self, table: &mut DeTable<'_>, key: &str) -> Option<String> {
        if !table.contains_key(key) {
            self.problem(None, format!("`{key} = \"…\"` is missing"));
        }
        let text: String = self.take(table, key)?;
        if text.trim().is_empty() {
            self.problem(None, format!("`{key}` is empty"));
        }
        Some(text)
    }

    fn take<T: DeserializeOwned>(&mut self, table: &mut DeTable<'_>, key: &str) -> Option<T> {
        let (_, value) = table.remove_entry(key)?;
        self.read(value)
    }

    fn read<T: DeserializeOwned>(&mut self, value: Spanned<DeValue<'_>>) -> Option<T> {
        let line = self.line(value.span().start);
        T::deserialize(ValueDeserializer::from(value)).map_err(|error| self.error(&error, Some(line))).ok()
    }

    /// A `[…]`, turned into what it stands for.
    fn one<R: DeserializeOwned, T>(
        &mut self,
        table: &mut DeTable<'_>,
        key: &str,
        make: impl Fn(R) -> Result<T, String>,
    ) -> Option<T> {
        let (name, value) = table.remove_entry(key)?;
        let line = self.line(name.span().start);
        let raw = self.read::<R>(value)?;
        make(raw).map_err(|reason| self.problem(Some(line), reason)).ok()
    }

    /// The entries of a `[[…]]`, each turned into what it stands for.
    fn each<R: DeserializeOwned, T>(
        &mut self,
        table: &mut DeTable<'_>,
        key: &str,
        make: impl Fn(R) -> Result<T, String>,
    ) -> Vec<Lined<T>> {
        let Some((name, value)) = table.remove_entry(key) else { return Vec::new() };
        let line = self.line(name.span().start);
        let DeValue::Array(entries) = value.into_inner() else {
            self.problem(Some(line), format!("`{key}` is a list: write [[{key}]] above each entry"));
            return Vec::new();
        };
        if entries.is_empty() && PARTS.contains(&key) {
            self.problem(Some(line), format!("`{key}` is empty"));
        }
        let mut made = Vec::new();
        for entry in entries {
            let line = self.line(entry.span().start);
            let Some(raw) = self.read::<R>(entry) else { continue };
            match make(raw) {
                Ok(value) => made.push(Lined { line, value }),
                Err(reason) => self.problem(Some(line), reason),
            }
        }
        made
    }
}

fn bare<T>(entries: Vec<Lined<T>>) -> Vec<T> {
    entries.into_iter().map(|entry| entry.value).collect()
}

/// One, or one of several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum OneOf<T> {
    One(T),
    Of(Vec<T>),
}

impl<T> OneOf<T> {
    fn list(this: Option<Self>) -> Vec<T> {
        match this {
            None => Vec::new(),
            Some(Self::One(one)) => vec![one],
            Some(Self::Of(several)) => several,
        }
    }
}

/// The one that is there, or a sentence about what should have been.
fn only<T>(what: &str, choices: Vec<(&str, Option<T>)>) -> Result<T, String> {
    let names = choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let mut there: Vec<_> = choices.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect();
    match (there.pop(), there.is_empty()) {
        (Some((_, only)), true) => Ok(only),
        (None, _) => Err(format!("{what} has one of: {names}")),
        (Some((last, _)), false) => {
            there.truncate(1);
            let first = there.pop().map_or("", |(name, _)| name);
            Err(format!("{what} does one thing: this one has both `{first}` and `{last}`"))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
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
    fn read(self) -> Result<Step, String> {
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

fn setting_key(key: &str) -> Result<(), String> {
    let sound = key.starts_with("net.") && !key.contains('/') && !key.contains("..");
    // These two are written through every namespace to the one value that the machine has.
    let shared = ["net.netfilter.nf_conntrack_max", "net.nf_conntrack_max", "net.netfilter.nf_conntrack_buckets"];
    if sound && !shared.contains(&key) {
        Ok(())
    } else {
        Err(format!("`{key}` is not a setting of a network namespace (net.…)"))
    }
}

fn command(words: Vec<String>) -> Result<Vec<String>, String> {
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCheck {
    from: String,
    expect: Option<OneOf<String>>,
    ping: Option<RawPing>,
    connect: Option<RawTarget>,
    http: Option<RawTarget>,
    bulk: Option<RawBulk>,
    udp: Option<RawUdp>,
    dns: Option<RawName>,
    run: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPing {
    to: IpAddr,
    size: Option<u16>,
    source: Option<IpAddr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTarget {
    to: SocketAddr,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBulk {
    to: SocketAddr,
    at: String,
    bytes: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUdp {
    to: SocketAddr,
    at: String,
    flows: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawName {
    name: String,
}

/// Enough for many full-sized segments, little enough to be there at once.
const BULK: u64 = 256 * 1024;
/// A check is no load test.
const MOST_BYTES: u64 = 64 << 20;
const MOST_FLOWS: u16 = 1000;

fn outcome(name: &str) -> Result<Outcome, String> {
    let read: Result<_, serde::de::value::Error> = Outcome::deserialize(name.into_deserializer());
    read.map_err(|error| error.to_string())
}

impl RawCheck {
    fn read(self) -> Result<Check, String> {
        let ping =
            |RawPing { to, size, source }| Attempt::Ping { to, size: size.unwrap_or(Attempt::PING_SIZE), source };
        let bulk = |RawBulk { to, at, bytes }| {
            let bytes = bytes.unwrap_or(BULK);
            if (1..=MOST_BYTES).contains(&bytes) {
                Ok(Attempt::Bulk { to, at, bytes })
            } else {
                Err(format!("`bytes` is from 1 to {MOST_BYTES}"))
            }
        };
        let udp = |RawUdp { to, at, flows }| {
            let flows = flows.unwrap_or(1);
            if (1..=MOST_FLOWS).contains(&flows) {
                Ok(Attempt::Udp { to, at, flows })
            } else {
                Err(format!("`flows` is from 1 to {MOST_FLOWS}"))
            }
        };
        let attempt = only(
            "a check",
            vec![
                ("ping", self.ping.map(ping)),
                ("connect", self.connect.map(|target| Attempt::Connect { to: target.to })),
                ("http", self.http.map(|target| Attempt::Http { to: target.to })),
                ("bulk", self.bulk.map(bulk).transpose()?),
                ("udp", self.udp.map(udp).transpose()?),
                ("dns", self.dns.map(|RawName { name }| Attempt::Dns { name })),
                ("run", self.run.map(command).transpose()?.map(Attempt::Run)),
            ],
        )?;
        let mut expect = OneOf::list(self.expect).iter().map(|name| outcome(name)).collect::<Result<Vec<_>, _>>()?;
        if expect.is_empty() {
            expect.push(Outcome::Answered);
        }
        Ok(Check { from: self.from, attempt, expect })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSignal {
    drop: Option<RawDrop>,
    counter: Option<RawCounter>,
    seen: Option<RawSighting>,
    unseen: Option<RawSighting>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDrop {
    node: String,
    device: Option<String>,
    reason: OneOf<String>,
    function: Option<OneOf<String>>,
    proto: Option<String>,
    count: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCounter {
    node: String,
    name: String,
    rises: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSighting {
    node: String,
    device: Option<String>,
    hook: Option<String>,
    proto: Option<String>,
    src: Option<String>,
    dst: Option<String>,
    info: Option<String>,
}

impl RawSignal {
    fn read(self) -> Result<Signal, String> {
        only(
            "a signal",
            vec![
                ("drop", self.drop.map(RawDrop::read)),
                ("counter", self.counter.map(RawCounter::read).transpose()?),
                ("seen", self.seen.map(|raw| Signal::Seen(raw.read()))),
                ("unseen", self.unseen.map(|raw| Signal::Unseen(raw.read()))),
            ],
        )
    }
}

impl RawDrop {
    fn read(self) -> Signal {
        Signal::Drop(DropSignal {
            node: self.node,
            device: self.device,
            reason: OneOf::list(Some(self.reason)),
            function: OneOf::list(self.function),
            proto: self.proto,
            count: self.count.unwrap_or(1),
        })
    }
}

impl RawCounter {
    fn read(self) -> Result<Signal, String> {
        let counter: Counter = self.name.parse()?;
        Ok(Signal::Counter { node: self.node, counter, rises: self.rises.unwrap_or(1) })
    }
}

impl RawSighting {
    fn read(self) -> Sighting {
        let Self { node, device, hook, proto, src, dst, info } = self;
        Sighting { node, device, hook, proto, src, dst, info }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAsking {
    from: String,
    to: String,
    proto: Option<Protocol>,
    at: Option<String>,
}

impl RawAsking {
    fn read(self) -> Result<Asking, String> {
        let to: Target = self.to.parse().map_err(|error: TargetError| error.to_string())?;
        let protocol = to.protocol(self.proto).map_err(|error| error.to_string())?;
        if self.at.is_some() && protocol != Protocol::Udp {
            return Err("`at` is for udp: a server that answers meanwhile".to_owned());
        }
        Ok(Asking { from: self.from, to, protocol, at: self.at })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNeed {
    node: Option<String>,
    sysctl: Option<String>,
    program: Option<String>,
    memory_limit: Option<bool>,
    why: String,
}

impl RawNeed {
    fn read(self) -> Result<Need, String> {
        let node = || self.node.clone().ok_or_else(|| "`node` is missing".to_owned());
        let sysctl = self.sysctl.map(|key| setting_key(&key).and_then(|()| Ok(Needed::Sysctl { node: node()?, key })));
        let limit = self.memory_limit.map(|_| Ok::<_, String>(Needed::MemoryLimit { node: node()? }));
        let choices = vec![
            ("sysctl", sysctl.transpose()?),
            ("program", self.program.map(Needed::Program)),
            ("memory_limit", limit.transpose()?),
        ];
        Ok(Need { what: only("a need", choices)?, why: self.why })
    }
}
