//! One word for why a packet was dropped: what a dashboard groups by.

use super::{Kind, drop};

/// One row: a word, and the reasons it stands for, in any function or in certain ones.
struct Row {
    cause: &'static str,
    reasons: &'static [&'static str],
    /// Empty: any function.
    functions: &'static [&'static str],
}

/// Dropped by a rule, a filter or a program that somebody put there.
pub const POLICY: &str = "policy";
/// Too big for the device it should leave by.
pub const MTU: &str = "mtu";
/// There was no room for the packet's connection tracking entry. The kernel gives these the same reason as what a rule
/// drops, and its own statistics tell them apart.
pub const CONNTRACK_FULL: &str = "conntrack-full";
/// Nobody missed it: see [`Kind::Noise`].
pub const HARMLESS: &str = "harmless";
/// None of the others.
pub const OTHER: &str = "other";

const fn any(cause: &'static str, reasons: &'static [&'static str]) -> Row {
    Row { cause, reasons, functions: &[] }
}

const fn at(cause: &'static str, reasons: &'static [&'static str], functions: &'static [&'static str]) -> Row {
    Row { cause, reasons, functions }
}

/// What a kernel that has no reason of its own for a case gives instead.
const UNSAID: &[&str] = &["NOT_SPECIFIED"];

/// A row with functions wins over one without.
const ROWS: &[Row] = &[
    any(
        POLICY,
        &[
            "NETFILTER_DROP",
            "SECURITY_HOOK",
            "XFRM_POLICY",
            "BPF_CGROUP_EGRESS",
            "TC_INGRESS",
            "TC_EGRESS",
            "XDP",
            "SOCKET_FILTER",
            "TAP_FILTER",
            "OVS_DROP_EXPLICIT",
            "OVS_DROP_EXPLICIT_WITH_ERROR",
            "OVS_DROP_METER",
        ],
    ),
    any("rp-filter", &["IP_RPFILTER"]),
    any(MTU, &["PKT_TOO_BIG", "OVS_DROP_FRAG_L2_TOO_LONG"]),
    at(
        MTU,
        UNSAID,
        &[
            "ip_forward",
            "ip6_forward",
            "ip_fragment",
            "ip_do_fragment",
            "ip6_fragment",
            "__dev_forward_skb2",
            "__dev_forward_skb",
            "dev_forward_skb",
            "br_dev_queue_push_xmit",
            "br_nf_dev_queue_xmit",
        ],
    ),
    any("no-listener", &["NO_SOCKET"]),
    any("neighbour", &["NEIGH_FAILED", "NEIGH_CREATEFAIL", "NEIGH_QUEUEFULL", "NEIGH_DEAD", "NEIGH_HH_FILLFAIL"]),
    at(
        "neighbour",
        UNSAID,
        &[
            "neigh_destroy",
            "neigh_invalidate",
            "arp_error_report",
            "ndisc_error_report",
            "ipv4_link_failure",
            "ip6_link_failure",
        ],
    ),
    any("no-route", &["IP_OUTNOROUTES", "IP_INNOROUTES"]),
    at("no-route", UNSAID, &["ip6_pkt_drop", "ip6_pkt_discard", "ip6_pkt_discard_out", "ip6_pkt_prohibit"]),
    at("forwarding-off", &["IP_INADDRERRORS"], &["ip_error", "ip6_forward"]),
    any("ttl", &["IP_TTL_EXCEEDED", "OVS_DROP_IP_TTL"]),
    at("ttl", &["IP_INHDR"], &["ip_forward", "ip6_forward"]),
    any(
        "wrong-address",
        &[
            "OTHERHOST",
            "UNICAST_IN_L2_MULTICAST",
            "IP_INADDRERRORS",
            "IP_LOCAL_SOURCE",
            "IP_INVALID_SOURCE",
            "IP_LOCALNET",
            "IP_INVALID_DEST",
            "MAC_INVALID_SOURCE",
        ],
    ),
    any(
        "bridge",
        &["BRIDGE_INGRESS_STP_STATE", "NO_TX_TARGET", "MACVLAN_BROADCAST_BACKLOG", "IPVLAN_MULTICAST_BACKLOG"],
    ),
    at(
        "bridge",
        UNSAID,
        &[
            "br_handle_frame",
            "br_handle_frame_finish",
            "br_forward",
            "__br_forward",
            "br_dev_xmit",
            "br_flood",
            "br_pass_frame_up",
            "br_allowed_ingress",
            "br_handle_vlan",
        ],
    ),
    any(
        "socket-buffer",
        &["SOCKET_RCVBUFF", "SOCKET_BACKLOG", "PROTO_MEM", "TCP_LISTEN_OVERFLOW", "TCP_OFO_QUEUE_PRUNE"],
    ),
    any(
        "queue",
        &[
            "QDISC_DROP",
            "QDISC_DROP_GENERIC",
            "QDISC_DROP_UNSPEC",
            "QDISC_OVERLIMIT",
            "QDISC_DROP_OVERLIMIT",
            "QDISC_CONGESTED",
            "QDISC_DROP_CONGESTED",
            "QDISC_BURST_DROP",
            "CPU_BACKLOG",
            "FULL_RING",
        ],
    ),
    any("checksum", &["IP_CSUM", "TCP_CSUM", "UDP_CSUM", "ICMP_CSUM", "SKB_CSUM", "GRE_CSUM"]),
    any("fragments", &["DUP_FRAG", "FRAG_REASM_TIMEOUT", "FRAG_TOO_FAR"]),
    any("device", &["DEV_READY", "DEV_HDR", "RECURSION_LIMIT"]),
    any("memory", &["NOMEM", "PFMEMALLOC"]),
    any("malformed", &["IP_INHDR", "HDR_TRUNC", "PKT_TOO_SMALL", "IPV6_BAD_EXTHDR", "SKB_BAD_GSO", "SKB_GSO_SEG"]),
    any("protocol", &["IP_NOPROTO", "UNHANDLED_PROTO", "INVALID_PROTO", "IPV6DISABLED"]),
    any(
        "tunnel",
        &["VXLAN_INVALID_HDR", "VXLAN_VNI_NOT_FOUND", "VXLAN_ENTRY_EXISTS", "IP_TUNNEL_ECN", "TNL_OPT_MISMATCH"],
    ),
    at("tunnel", &["NO_TX_TARGET", "NOT_SPECIFIED"], &["vxlan_xmit", "vxlan_xmit_one", "vxlan_mdb_xmit", "vxlan_rcv"]),
];

/// The word for a drop; arguments as of [`drop`]. What is [`HARMLESS`] in that function is so whatever its reason.
///
/// [`CONNTRACK_FULL`] is never the answer: reason and function are not enough to tell.
pub fn cause(reason: Option<&str>, function: Option<&str>) -> &'static str {
    if drop(reason, function).kind == Kind::Noise {
        return HARMLESS;
    }
    let reason = reason.map(|reason| reason.strip_prefix("SKB_DROP_REASON_").unwrap_or(reason));
    let rows = || ROWS.iter().filter(|row| reason.is_some_and(|reason| row.reasons.contains(&reason)));
    let exact = function.and_then(|function| rows().find(|row| row.functions.contains(&function)));
    let row = exact.or_else(|| rows().find(|row| row.functions.is_empty()));
    match (row, reason) {
        (Some(row), _) => row.cause,
        (None, Some(reason)) if reason.starts_with("TCP_") => "tcp",
        (None, Some(reason)) if reason.starts_with("QDISC_") || reason.starts_with("FQ_") => "queue",
        (None, _) => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::explain::is_known;

    #[test]
    fn function_and_reason_give_a_word() {
        for (reason, function, expected) in [
            (Some("NETFILTER_DROP"), Some("nf_hook_slow"), POLICY),
            (Some("NO_SOCKET"), Some("__udp4_lib_rcv"), "no-listener"),
            (Some("NO_SOCKET"), Some("ping_rcv"), HARMLESS),
            (Some("SKB_DROP_REASON_IP_RPFILTER"), None, "rp-filter"),
            (Some("NOT_SPECIFIED"), Some("ip_forward"), MTU),
            (Some("NOT_SPECIFIED"), Some("elsewhere"), OTHER),
            (Some("IP_INADDRERRORS"), Some("ip_error"), "forwarding-off"),
            (Some("IP_INADDRERRORS"), None, "wrong-address"),
            (Some("TCP_FLAGS"), None, "tcp"),
            (Some("FQ_BAND_LIMIT"), None, "queue"),
            (None, Some("nf_hook_slow"), OTHER),
        ] {
            assert_eq!(cause(reason, function), expected, "{reason:?} in {function:?}");
        }
    }

    #[test]
    fn every_reason_in_the_table_is_one_that_is_explained() {
        let mut seen = HashSet::new();
        for row in ROWS {
            let functions = if row.functions.is_empty() { &[""][..] } else { row.functions };
            for reason in row.reasons {
                assert!(is_known(reason) || *reason == "NOT_SPECIFIED", "{reason}");
                for function in functions {
                    assert!(seen.insert((reason, function)), "{reason} at {function:?} is there twice");
                }
            }
        }
    }
}
