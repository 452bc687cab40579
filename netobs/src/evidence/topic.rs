//! Which state a drop points to. A table, like `explain`'s: reasons and functions by the kernel's names.

use super::Scene;
use crate::event::Proto;

/// The state to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Topic {
    ReversePath,
    PathMtu,
    LinkMtu,
    Route,
    Neighbour,
    Conntrack,
    Listener,
    Device,
    TimeToLive,
    Checksum,
    OtherHost,
}

/// Reasons that share a topic, in any function or in certain ones.
struct Row {
    reasons: &'static [&'static str],
    functions: &'static [&'static str],
    topic: Topic,
}

const fn row(reasons: &'static [&'static str], functions: &'static [&'static str], topic: Topic) -> Row {
    Row { reasons, functions, topic }
}

const NONE: &[&str] = &["NOT_SPECIFIED"];

const ROWS: &[Row] = &[
    row(&["IP_RPFILTER"], &[], Topic::ReversePath),
    row(&["PKT_TOO_BIG"], &[], Topic::PathMtu),
    row(NONE, &["ip_fragment", "ip_do_fragment", "ip6_fragment"], Topic::PathMtu),
    row(
        NONE,
        &[
            "__dev_forward_skb2",
            "__dev_forward_skb",
            "dev_forward_skb",
            "br_dev_queue_push_xmit",
            "br_nf_dev_queue_xmit",
        ],
        Topic::LinkMtu,
    ),
    row(&["IP_INADDRERRORS", "IP_INNOROUTES", "IP_OUTNOROUTES"], &[], Topic::Route),
    row(NONE, &["ip_error", "ip6_forward", "ip6_pkt_drop", "ip6_pkt_discard", "ip6_pkt_prohibit"], Topic::Route),
    row(&["NEIGH_FAILED", "NEIGH_QUEUEFULL", "NEIGH_DEAD", "NEIGH_CREATEFAIL"], &[], Topic::Neighbour),
    row(&["NETFILTER_DROP"], &["nf_hook_slow", "nf_hook_slow_list"], Topic::Conntrack),
    row(&["NO_SOCKET"], &[], Topic::Listener),
    row(&["QDISC_DROP", "DEV_READY", "BRIDGE_INGRESS_STP_STATE", "BRIDGE_NON_FORWARDING_STATE"], &[], Topic::Device),
    row(
        NONE,
        &["br_handle_frame", "br_handle_frame_finish", "__dev_queue_xmit", "dev_hard_start_xmit", "veth_xmit"],
        Topic::Device,
    ),
    row(&["IP_TTL_EXCEEDED"], &[], Topic::TimeToLive),
    row(&["IP_INHDR"], &["ip_forward", "ip6_forward"], Topic::TimeToLive),
    row(&["IP_CSUM"], &[], Topic::Checksum),
    row(&["OTHERHOST"], &[], Topic::OtherHost),
];

/// The topic of a drop; `None` where no state of the machine says more.
pub(super) fn topic(scene: &Scene<'_>) -> Option<Topic> {
    let reason = scene.reason?;
    let topic = ROWS
        .iter()
        .find(|row| {
            row.reasons.contains(&reason)
                && (row.functions.is_empty()
                    || scene.function.is_some_and(|function| row.functions.contains(&function)))
        })?
        .topic;
    let applies = match topic {
        // A packet that carries an entry got past the table.
        Topic::Conntrack => !scene.tracked,
        Topic::Listener => matches!(scene.headers.proto, Proto::Tcp | Proto::Udp),
        _ => true,
    };
    applies.then_some(topic)
}
