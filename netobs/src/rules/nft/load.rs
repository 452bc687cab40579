//! What an nft expression gives for a packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::compare::number;
use super::datum::{Datum, Loaded};
use crate::event::{Direction, State, Tuple};
use crate::rules::judge::Situation;
use crate::rules::packet::{Packet, Tracking};
use crate::rules::places::Place;

// <linux/netfilter.h> and <linux/if_ether.h>
const NFPROTO: (u64, u64) = (2, 10);
/// nft 1.0.6 prints the number with its bytes swapped.
const ETHER_TYPE: [&[u64]; 2] = [&[0x0800, 0x0008], &[0x86dd, 0xdd86]];
// <linux/netfilter/nf_conntrack_common.h>
const IPS_SRC_NAT: u64 = 1 << 4;
const IPS_DST_NAT: u64 = 1 << 5;
// <linux/rtnetlink.h>
const RTN_UNICAST: u64 = 1;
const RTN_LOCAL: u64 = 2;
const RTN_BROADCAST: u64 = 3;
const RTN_MULTICAST: u64 = 5;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const DCCP: u8 = 33;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;
const UDPLITE: u8 = 136;

/// Evaluates an expression on the left of a match, or the key of a map.
pub(super) fn load(expression: &Value, situation: &Situation<'_>) -> Loaded {
    let Some((kind, body)) = expression.as_object().and_then(|object| object.iter().next()) else {
        return number(expression).map_or(Loaded::CannotTell, |number| Loaded::Known(Datum::Number(number)));
    };
    let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default();
    match kind.as_str() {
        "payload" => payload(situation.packet, text("protocol"), text("field")),
        "meta" => meta(situation.packet, text("key")),
        "ct" => ct(situation, text("key"), text("dir")),
        "fib" => fib(situation, text("result"), body.get("flags")),
        "concat" => {
            let parts: Vec<_> = body.as_array().into_iter().flatten().map(|part| load(part, situation)).collect();
            if parts.contains(&Loaded::Absent) { Loaded::Absent } else { Loaded::Several(parts) }
        }
        "&" | "|" | "^" | "<<" | ">>" => binary(kind, body, situation),
        _ => Loaded::CannotTell,
    }
}

/// nft leaves out of its text what a field asks for by itself: `tcp dport` is about TCP packets only.
fn payload(packet: &Packet, protocol: &str, field: &str) -> Loaded {
    let ipv6 = packet.is_ipv6();
    let wanted: &[u8] = match protocol {
        "ip" if ipv6 == Some(true) => return Loaded::Absent,
        "ip6" if ipv6 == Some(false) => return Loaded::Absent,
        "ip" | "ip6" if ipv6.is_none() => return Loaded::CannotTell,
        "ip" | "ip6" => &[],
        "tcp" => &[TCP],
        "udp" => &[UDP],
        "udplite" => &[UDPLITE],
        "sctp" => &[SCTP],
        "dccp" => &[DCCP],
        "icmp" => &[ICMP],
        "icmpv6" => &[ICMPV6],
        // The first four bytes, of whatever protocol; only these have ports there.
        "th" if packet.proto.is_some_and(|proto| [TCP, UDP, UDPLITE, SCTP, DCCP].contains(&proto)) => &[],
        _ => return Loaded::CannotTell,
    };
    if !wanted.is_empty() {
        match packet.proto {
            Some(proto) if !wanted.contains(&proto) => return Loaded::Absent,
            Some(_) => {}
            None => return Loaded::CannotTell,
        }
    }
    match (protocol, field) {
        ("ip" | "ip6", "saddr") => Loaded::address(packet.tuple.src),
        ("ip" | "ip6", "daddr") => Loaded::address(packet.tuple.dst),
        ("ip", "protocol") => Loaded::number(packet.proto),
        ("ip", "length") => Loaded::number(packet.length),
        ("ip", "version") => Loaded::number(Some(4_u8)),
        ("ip6", "version") => Loaded::number(Some(6_u8)),
        // Multicast listener messages come behind a hop-by-hop header (RFC 2710), others seldom behind any.
        ("ip6", "nexthdr") if !matches!(packet.icmp, Some((130..=132 | 143, _))) => Loaded::number(packet.proto),
        ("tcp", "flags") => match packet.tcp_flags {
            // ECE and CWR are not known.
            Some(flags) => Loaded::Known(Datum::Bits { value: flags.into(), known: 0x3f }),
            None => Loaded::CannotTell,
        },
        ("tcp" | "udp" | "udplite" | "sctp" | "dccp" | "th", "sport") => Loaded::number(packet.port(true)),
        ("tcp" | "udp" | "udplite" | "sctp" | "dccp" | "th", "dport") => Loaded::number(packet.port(false)),
        ("icmp" | "icmpv6", "type") => Loaded::number(packet.icmp.map(|(kind, _)| kind)),
        ("icmp" | "icmpv6", "code") => Loaded::number(packet.icmp.map(|(_, code)| code)),
        _ => Loaded::CannotTell,
    }
}

fn meta(packet: &Packet, key: &str) -> Loaded {
    match key {
        "l4proto" => Loaded::number(packet.proto),
        "nfproto" => Loaded::number(packet.is_ipv6().map(|ipv6| if ipv6 { NFPROTO.1 } else { NFPROTO.0 })),
        "protocol" => packet.is_ipv6().map_or(Loaded::CannotTell, |ipv6| {
            let [v4, v6] = ETHER_TYPE;
            Loaded::Known(Datum::Printed(if ipv6 { v6 } else { v4 }))
        }),
        "mark" => Loaded::number(packet.mark),
        "length" => Loaded::number(packet.length),
        // An index is printed as the name it has now.
        "iifname" | "iif" => Loaded::name(packet.iif.as_deref()),
        "oifname" | "oif" => Loaded::name(packet.oif.as_deref()),
        _ => Loaded::CannotTell,
    }
}

/// `nft_ct_get_eval`: without an entry only the state has a value.
fn ct(situation: &Situation<'_>, key: &str, dir: &str) -> Loaded {
    let packet = situation.packet;
    if key == "state" {
        return Loaded::number(packet.state_bits());
    }
    let entry = match &packet.tracking {
        Tracking::Unknown => return Loaded::CannotTell,
        Tracking::Invalid => return Loaded::Absent,
        Tracking::Entry(entry) if entry.state == Some(State::Untracked) => return Loaded::Absent,
        Tracking::Entry(entry) => entry,
    };
    let tuple = match dir {
        "original" => entry.orig,
        "reply" => entry.reply,
        _ => None,
    };
    let address = |of: fn(Tuple) -> Option<IpAddr>| Loaded::address(tuple.and_then(of));
    let port = |of: fn(Tuple) -> Option<u16>| Loaded::number(tuple.and_then(of));
    match key {
        "direction" => Loaded::number(entry.direction.map(|direction| u8::from(direction == Direction::Reply))),
        "mark" => Loaded::number(situation.ct_mark),
        "status" => match packet.translated() {
            Some((source, destination)) => {
                let bit = |set: bool, bit: u64| if set { bit } else { 0 };
                let value = bit(source, IPS_SRC_NAT) | bit(destination, IPS_DST_NAT);
                Loaded::Known(Datum::Bits { value, known: IPS_SRC_NAT | IPS_DST_NAT })
            }
            None => Loaded::CannotTell,
        },
        "zone" if entry.orig.is_some() => Loaded::number(Some(entry.zone)),
        "l3proto" => meta(packet, "nfproto"),
        "saddr" | "ip saddr" | "ip6 saddr" => address(|tuple| tuple.src),
        "daddr" | "ip daddr" | "ip6 daddr" => address(|tuple| tuple.dst),
        "proto-src" => port(|tuple| tuple.sport),
        "proto-dst" => port(|tuple| tuple.dport),
        _ => Loaded::CannotTell,
    }
}

fn fib(situation: &Situation<'_>, result: &str, flags: Option<&Value>) -> Loaded {
    let flag = match flags {
        Some(Value::Array(list)) if list.len() == 1 => list.first(),
        other => other,
    };
    let address = match flag.and_then(Value::as_str) {
        Some("saddr") => situation.packet.tuple.src,
        Some("daddr") => situation.packet.tuple.dst,
        // With a device in it the kernel looks elsewhere, too.
        _ => None,
    };
    let Some(address) = address.filter(|_| result == "type") else { return Loaded::CannotTell };
    Loaded::Known(match situation.places.of(address) {
        Place::Local => Datum::Number(RTN_LOCAL),
        Place::Multicast => Datum::Number(RTN_MULTICAST),
        Place::Broadcast => Datum::Number(RTN_BROADCAST),
        Place::Elsewhere if address.is_ipv4() => Datum::Number(RTN_UNICAST),
        Place::Elsewhere => Datum::NoneOf(&[RTN_LOCAL, RTN_MULTICAST, RTN_BROADCAST]),
    })
}

fn binary(operator: &str, body: &Value, situation: &Situation<'_>) -> Loaded {
    let Some([left, right]) = body.as_array().map(Vec::as_slice) else { return Loaded::CannotTell };
    let left = load(left, situation);
    if operator == "&"
        && let Loaded::Known(Datum::Address(address)) = left
    {
        let mask = right.as_str().and_then(|text| text.parse().ok());
        return Loaded::address(mask.and_then(|mask| masked(address, mask)));
    }
    let right = match number(right) {
        Some(number) => Loaded::Known(Datum::Number(number)),
        None => load(right, situation),
    };
    match (operator, left, right) {
        (_, Loaded::Absent, _) | (_, _, Loaded::Absent) => Loaded::Absent,
        ("&", Loaded::Known(Datum::Bits { value, known }), Loaded::Known(Datum::Number(mask))) => {
            // What the mask takes away is known to be nothing.
            Loaded::Known(Datum::Bits { value: value & mask, known: known | !mask })
        }
        (_, Loaded::Known(Datum::Number(a)), Loaded::Known(Datum::Number(b))) => {
            let shift = u32::try_from(b).ok();
            Loaded::number(match operator {
                "&" => Some(a & b),
                "|" => Some(a | b),
                "^" => Some(a ^ b),
                ">>" => shift.and_then(|by| a.checked_shr(by)),
                // How wide the value is, is not said.
                _ => None,
            })
        }
        _ => Loaded::CannotTell,
    }
}

fn masked(address: IpAddr, mask: IpAddr) -> Option<IpAddr> {
    match (address, mask) {
        (IpAddr::V4(a), IpAddr::V4(m)) => Some(Ipv4Addr::from_bits(a.to_bits() & m.to_bits()).into()),
        (IpAddr::V6(a), IpAddr::V6(m)) => Some(Ipv6Addr::from_bits(a.to_bits() & m.to_bits()).into()),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}
