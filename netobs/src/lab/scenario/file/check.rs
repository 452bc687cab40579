//! `[[healthy]]`, `[[symptom]]`: what is tried and what comes of it.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;
use serde::de::IntoDeserializer;

use super::super::check::{Attempt, Check, Outcome};
use super::choice::{OneOf, only};
use super::step::command;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCheck {
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
    pub(super) fn read(self) -> Result<Check, String> {
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
