//! Whether a packet meets an iptables option. What is not here cannot be decided.

use std::net::IpAddr;

use super::number::{in_span, masked};
use super::specification::Opt;
use super::tracking;
use crate::netlink::within;
use crate::rules::judge::Situation;
use crate::rules::packet::Packet;
use crate::rules::places::Place;
use crate::rules::protocol;
use crate::rules::truth::Truth;

/// Matches whose every option is decided here, so that merely naming them asks for nothing more.
const KNOWN: [&str; 15] = [
    "tcp",
    "udp",
    "sctp",
    "dccp",
    "icmp",
    "icmp6",
    "icmpv6",
    "multiport",
    "comment",
    "conntrack",
    "state",
    "mark",
    "connmark",
    "addrtype",
    "iprange",
];

impl Opt {
    /// As it is written, for a person.
    pub(super) fn shown(&self) -> String {
        let mut words = Vec::new();
        if !self.module.is_empty() {
            words.extend(["-m", &self.module]);
        }
        if self.negated {
            words.push("!");
        }
        words.extend([self.name.as_str()].into_iter().chain(self.values.iter().map(String::as_str)));
        words.retain(|word| !word.is_empty());
        words.join(" ")
    }
}

/// Whether the packet meets the option, its `!` left aside.
pub(super) fn holds(option: &Opt, situation: &Situation<'_>) -> Truth {
    let packet = situation.packet;
    let value = option.value();
    match (option.module.as_str(), option.name.as_str()) {
        ("", "-s") => address(packet.tuple.src, value).into(),
        ("", "-d") => address(packet.tuple.dst, value).into(),
        ("", "-i") => device(packet.iif.as_deref(), value).into(),
        ("", "-o") => device(packet.oif.as_deref(), value).into(),
        ("", "-p") => same(packet.proto, protocol::number(value)).into(),
        (module, "") => {
            if module == "length" || KNOWN.contains(&module) {
                Truth::Yes
            } else {
                Truth::CannotTell
            }
        }
        ("comment", _) => Truth::Yes,
        ("tcp" | "udp" | "sctp" | "dccp", "--sport") => in_span(port(packet, true), value).into(),
        ("tcp" | "udp" | "sctp" | "dccp", "--dport") => in_span(port(packet, false), value).into(),
        ("tcp", "--tcp-flags") => flags(packet, &option.values).into(),
        ("icmp", "--icmp-type") | ("icmp6" | "icmpv6", "--icmpv6-type") => icmp(packet, value).into(),
        ("multiport", "--sports") => ports(&[port(packet, true)], value),
        ("multiport", "--dports") => ports(&[port(packet, false)], value),
        ("multiport", "--ports") => ports(&[port(packet, true), port(packet, false)], value),
        ("mark", "--mark") => mark(packet.mark, value).into(),
        ("connmark", "--mark") => mark(situation.ct_mark, value).into(),
        ("length", "--length") => in_span(packet.length, value).into(),
        ("iprange", "--src-range") => between(packet.tuple.src, value).into(),
        ("iprange", "--dst-range") => between(packet.tuple.dst, value).into(),
        ("addrtype", "--src-type") => place(situation, packet.tuple.src, value),
        ("addrtype", "--dst-type") => place(situation, packet.tuple.dst, value),
        ("state", "--state") | ("conntrack", "--ctstate") => tracking::state(packet, value),
        ("conntrack", name) => tracking::entry(packet, name, value),
        _ => Truth::CannotTell,
    }
}

fn same<T: PartialEq>(one: Option<T>, other: Option<T>) -> Option<bool> {
    Some(one? == other?)
}

fn port(packet: &Packet, source: bool) -> Option<u32> {
    packet.port(source).map(u32::from)
}

/// `ADDRESS[/LENGTH]`, or `/MASK` where the mask is no prefix.
pub(super) fn address(address: Option<IpAddr>, text: &str) -> Option<bool> {
    let address = address?;
    let (net, length) = text.split_once('/').unwrap_or((text, ""));
    let net: IpAddr = net.parse().ok()?;
    if length.is_empty() {
        return Some(address == net);
    }
    if let Ok(length) = length.parse() {
        return Some(within(address, net, length));
    }
    match (address, net, length.parse().ok()?) {
        (IpAddr::V4(a), IpAddr::V4(n), IpAddr::V4(mask)) => Some(a & mask == n & mask),
        (IpAddr::V6(a), IpAddr::V6(n), IpAddr::V6(mask)) => Some(a & mask == n & mask),
        _ => Some(false),
    }
}

/// A name, or the beginning of one before a `+`.
fn device(name: Option<&str>, wanted: &str) -> Option<bool> {
    let name = name?;
    Some(match wanted.strip_suffix('+') {
        Some(start) => name.starts_with(start),
        None => name == wanted,
    })
}

/// `--tcp-flags MASK SET`
fn flags(packet: &Packet, values: &[String]) -> Option<bool> {
    let bits = |text: &str| {
        text.split(',').try_fold(0, |bits, name| {
            Some(match name {
                "NONE" => bits,
                "ALL" => 0x3f,
                "FIN" => bits | 1,
                "SYN" => bits | 2,
                "RST" => bits | 4,
                "PSH" => bits | 8,
                "ACK" => bits | 16,
                "URG" => bits | 32,
                _ => return None,
            })
        })
    };
    let [mask, set] = values else { return None };
    Some(packet.tcp_flags? & bits(mask)? == bits(set)?)
}

/// `TYPE[/CODE]`, by number; 255 and `any` are any.
fn icmp(packet: &Packet, text: &str) -> Option<bool> {
    if text == "any" || text == "255" {
        return Some(true);
    }
    let (kind, code) = packet.icmp?;
    let (wanted, wanted_code) = text.split_once('/').unwrap_or((text, ""));
    let right_code = wanted_code.is_empty() || wanted_code.parse::<u8>().ok()? == code;
    Some(wanted.parse::<u8>().ok()? == kind && right_code)
}

fn ports(ports: &[Option<u32>], list: &str) -> Truth {
    Truth::any(list.split(',').flat_map(|span| ports.iter().map(move |port| in_span(*port, span).into())))
}

fn mark(mark: Option<u32>, text: &str) -> Option<bool> {
    let (value, mask) = masked(text)?;
    Some(mark? & mask == value)
}

fn between(address: Option<IpAddr>, text: &str) -> Option<bool> {
    let (low, high) = text.split_once('-')?;
    let (low, high): (IpAddr, IpAddr) = (low.parse().ok()?, high.parse().ok()?);
    Some((low..=high).contains(&address?))
}

fn place(situation: &Situation<'_>, address: Option<IpAddr>, list: &str) -> Truth {
    let Some(address) = address else { return Truth::CannotTell };
    let place = situation.places.of(address);
    Truth::any(list.split(',').map(|kind| match (kind, place) {
        ("LOCAL", place) => (place == Place::Local).into(),
        ("BROADCAST", place) if address.is_ipv4() => (place == Place::Broadcast).into(),
        ("MULTICAST", place) => (place == Place::Multicast).into(),
        ("UNICAST", place) if address.is_ipv4() => (place == Place::Elsewhere).into(),
        _ => Truth::CannotTell,
    }))
}
