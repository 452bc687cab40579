//! From what the kernel says of a dropped packet to what is wrong with the machine. One table, as data.

use std::fmt;

use super::super::Finding;
use super::super::probe::{Observation, Role};
use super::proof;
use super::shown::{Seen, end, filter, link, route, size};

/// Drops that show the same.
struct Row {
    /// The kernel's names for the reason.
    reasons: &'static [&'static str],
    /// The functions that drop so; any if there are none.
    functions: &'static [&'static str],
    /// What a look at the machine may have found that leads to such a drop: then this is the proof of it. A `*` stands
    /// for any beginning.
    proves: &'static [&'static str],
    /// What such a drop shows by itself, by the state behind it. `None` where that does not tell.
    show: fn(&Seen<'_>) -> Option<Finding>,
    /// Healthy networks have such drops, too.
    is_common: bool,
    /// It says something of ARP and neighbour discovery, too.
    of_neighbours: bool,
}

const fn row(
    reasons: &'static [&'static str],
    functions: &'static [&'static str],
    proves: &'static [&'static str],
    show: fn(&Seen<'_>) -> Option<Finding>,
) -> Row {
    Row { reasons, functions, proves, show, is_common: false, of_neighbours: false }
}

const NONE: &[&str] = &["NOT_SPECIFIED"];
const CABLES: &[&str] = &[
    "host-veth-down",
    "container-veth-down",
    "dangling-cable",
    "loopback-down",
    "bridge-down",
    "device-down",
    "no-carrier",
];
const NEIGHBOURS: &[&str] = &[
    "wrong-gateway",
    "dnat-wrong-target",
    "veth-not-enslaved",
    "duplicate-routes",
    "duplicate-address",
    "address-missing",
    "gateway-address-missing",
    "connected-route-missing",
    "address-without-prefix",
    "host-veth-down",
    "container-veth-down",
    "dangling-cable",
    "bridge-down",
    "rp-filter-strict",
    "no-carrier",
    "port-isolated",
    "port-not-forwarding",
    "stale-neighbour",
    "unknown-host",
    "device-down",
];

/// What may be behind a packet that is not routed on.
const NO_WAY: &[&str] = &[
    "ip-forward-off",
    "host-no-route",
    "no-default-route",
    "no-route-back",
    "connected-route-missing",
    "*forwarding-off",
    "*-route",
];

/// By the reason and function; the first that matches and shows something counts.
const ROWS: &[Row] = &[
    row(&["IP_INADDRERRORS", "IP_INNOROUTES", "IP_OUTNOROUTES"], &[], NO_WAY, route::no_way),
    row(
        NONE,
        &["ip_error", "ip6_forward", "ip6_pkt_drop", "ip6_pkt_discard", "ip6_pkt_prohibit"],
        NO_WAY,
        route::no_way,
    ),
    row(&["IP_RPFILTER"], &[], &["rp-filter-strict", "duplicate-routes"], route::reverse_path),
    row(&["IP_LOCAL_SOURCE"], &[], &["duplicate-address", "hairpin-not-masqueraded"], route::own_source),
    row(&["IP_TTL_EXCEEDED"], &[], &["routing-loop"], route::time_to_live),
    Row {
        of_neighbours: true,
        ..row(&["QDISC_DROP", "QDISC_DROP_GENERIC", "QDISC_OVERLIMIT", "DEV_READY"], &[], CABLES, link::sender)
    },
    Row {
        of_neighbours: true,
        ..row(
            &["BRIDGE_INGRESS_STP_STATE", "BRIDGE_NON_FORWARDING_STATE"],
            &[],
            &["bridge-down", "port-not-forwarding"],
            link::bridge_port,
        )
    },
    Row {
        of_neighbours: true,
        ..row(NONE, &["br_handle_frame"], &["bridge-down", "port-not-forwarding"], link::bridge_port)
    },
    row(NONE, &["br_handle_frame_finish", "br_flood", "br_forward"], &["hairpin-off", "port-isolated"], nothing),
    row(
        NONE,
        &["__dev_forward_skb2", "__dev_forward_skb", "dev_forward_skb", "veth_xmit"],
        &["veth-mtu-mismatch", "mtu-*", "host-veth-down", "container-veth-down", "dangling-cable"],
        size::other_end,
    ),
    row(
        NONE,
        &["br_dev_queue_push_xmit", "br_nf_dev_queue_xmit"],
        &["bridge-mtu-black-hole", "veth-mtu-mismatch"],
        size::bridge,
    ),
    row(&["PKT_TOO_BIG"], &[], &["mtu-path-smaller", "mtu-black-hole"], size::path),
    row(NONE, &["ip_fragment", "ip_do_fragment", "ip6_fragment"], &["mtu-path-smaller", "mtu-black-hole"], size::path),
    row(
        &["NETFILTER_DROP"],
        &[],
        &["*-policy-drop", "*-rule-drop", "bridge-netfilter-drop", "conntrack-full", "snat-port-clash"],
        filter::netfilter,
    ),
    row(&["TC_INGRESS", "TC_EGRESS", "XDP"], &[], &["tc-drop", "xdp-drop"], filter::program),
    row(
        &["NO_SOCKET"],
        &[],
        &["no-listener", "listener-on-loopback", "listener-elsewhere", "port-not-published", "dns-unreachable"],
        end::no_socket,
    ),
    // Whatever is between the two is the better reason: this comes last.
    row(&["NEIGH_FAILED", "NEIGH_QUEUEFULL", "NEIGH_DEAD", "NEIGH_CREATEFAIL"], &[], NEIGHBOURS, route::next_hop),
    // A bridge that floods brings it to bystanders, too.
    Row { is_common: true, ..row(&["OTHERHOST"], &[], &["stale-neighbour", "duplicate-address"], nothing) },
];

/// What is wrong can be told only by a look at the machine.
fn nothing(_: &Seen<'_>) -> Option<Finding> {
    None
}

/// A drop that nothing explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unexplained {
    /// Of what, where and for which reason of the kernel's.
    pub(super) line: String,
    /// What that reason means.
    explanation: &'static str,
}

impl fmt::Display for Unexplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.explanation)
    }
}

/// Adds what the drops of the packets prove to what was found before, and what they show beyond that. Returns those that
/// neither explains.
pub(super) fn account(observation: &Observation, findings: &mut Vec<Finding>) -> Vec<Unexplained> {
    let mut unexplained = Vec::new();
    let dropped = observation.packets.iter().filter_map(|packet| Seen::new(packet, observation));
    let mut dropped: Vec<_> = dropped.map(|seen| (row_of(&seen), seen)).collect();
    // In the order of the table, so that what one drop shows may be what the next one proves.
    dropped.sort_by_key(|(row, seen)| (seen.packet.role == Role::Error, row.unwrap_or(ROWS.len())));
    for (row, seen) in dropped {
        if seen.packet.role == Role::Error {
            // Whoever lacks it lacks an answer only where packets are too large.
            proof::prove(findings, &["mtu-black-hole"], &seen);
            continue;
        }
        let row = row.and_then(|row| ROWS.get(row));
        let is_common = row.map_or(seen.packet.role == Role::Neighbour, |row| row.is_common);
        let proven = row.is_some_and(|row| proof::prove(findings, row.proves, &seen));
        if proven || row.and_then(|row| (row.show)(&seen)).is_some_and(|finding| add(findings, finding)) {
            continue;
        }
        let drop = Unexplained { line: seen.line(), explanation: seen.drop.explanation };
        if !is_common && !unexplained.contains(&drop) {
            unexplained.push(drop);
        }
    }
    unexplained
}

/// Unless it is there already: the same packet once more, or another of its flow.
fn add(findings: &mut Vec<Finding>, finding: Finding) -> bool {
    let is_known = findings.iter().any(|known| known.cause == finding.cause && known.culprit == finding.culprit);
    if !is_known {
        findings.push(finding);
    }
    true
}

fn row_of(seen: &Seen<'_>) -> Option<usize> {
    let reason = seen.drop.reason.as_deref()?;
    let function = seen.drop.function.as_deref();
    ROWS.iter().position(|row| {
        row.reasons.contains(&reason)
            && (row.functions.is_empty() || function.is_some_and(|function| row.functions.contains(&function)))
            && (row.of_neighbours || seen.packet.role != Role::Neighbour)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_several_functions_give_is_told_apart_by_the_function() {
        for row in ROWS.iter().filter(|row| row.reasons.contains(&"NOT_SPECIFIED")) {
            assert!(!row.functions.is_empty(), "{:?}", row.proves);
        }
    }

    #[test]
    fn no_two_rows_are_about_the_same_drop() {
        for (index, row) in ROWS.iter().enumerate() {
            for other in &ROWS[index + 1..] {
                let same_reason = row.reasons.iter().any(|reason| other.reasons.contains(reason));
                let same_function = row.functions.is_empty() && other.functions.is_empty()
                    || row.functions.iter().any(|function| other.functions.contains(function));
                assert!(!(same_reason && same_function), "{:?} {:?}", row.reasons, row.functions);
            }
        }
    }
}
