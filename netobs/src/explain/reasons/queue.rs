//! Queues: queueing disciplines, the per-CPU backlog, rings.

use super::super::Kind::{Depends, Fault};
use super::{Row, at, on};

const QDISC: &[&str] = &["tc -n NETNS -s qdisc show dev DEV"];

pub(super) const ROWS: &[Row] = &[
    on(
        &["QDISC_DROP", "QDISC_DROP_GENERIC", "QDISC_DROP_UNSPEC"],
        Fault,
        "The device's queueing discipline did not take the packet.",
        &["the device is down or has no carrier", "the queue is full", "a rate limit"],
        QDISC,
    ),
    at(
        &["QDISC_DROP"],
        &["__dev_queue_xmit", "__dev_xmit_skb", "noop_enqueue"],
        Fault,
        "The device could not send: it is down or has no carrier (a veth whose other end is down), or its queue is full.",
        &["the host's end of the veth pair is down", "lo or the device itself is down", "a full queue or rate limit"],
        &[
            "ip -n NETNS -s link show DEV",
            "ip link show in the namespace of the other end",
            "tc -n NETNS -s qdisc show dev DEV",
        ],
    ),
    on(
        &["QDISC_OVERLIMIT", "QDISC_DROP_OVERLIMIT"],
        Fault,
        "The queueing discipline is full.",
        &["more is sent than the device or the configured rate can take", "a small limit"],
        QDISC,
    ),
    on(
        &["QDISC_CONGESTED", "QDISC_DROP_CONGESTED"],
        Depends,
        "The queueing discipline dropped this early to tell the sender to slow down.",
        &["CoDel, RED or PIE doing its work on a busy link"],
        QDISC,
    ),
    on(
        &["QDISC_BURST_DROP"],
        Fault,
        "Too many packets waited to be put into one queue at the same time.",
        &["many CPUs that send through one device", "net.core.qdisc_max_burst too small"],
        &["sysctl net.core.qdisc_max_burst", "tc -n NETNS -s qdisc show dev DEV"],
    ),
    on(
        &["CAKE_FLOOD", "QDISC_DROP_CAKE_FLOOD", "QDISC_DROP_FLOOD_PROTECTION"],
        Fault,
        "A flow that does not slow down is being cut off by the cake queueing discipline.",
        &["a flood, mostly UDP"],
        QDISC,
    ),
    on(
        &["FQ_BAND_LIMIT", "QDISC_DROP_FQ_BAND_LIMIT", "QDISC_DROP_BAND_LIMIT"],
        Fault,
        "The fair queue's band for this priority is full.",
        &["more is sent than the device can take"],
        QDISC,
    ),
    on(
        &["FQ_HORIZON_LIMIT", "QDISC_DROP_FQ_HORIZON_LIMIT", "QDISC_DROP_HORIZON_LIMIT"],
        Fault,
        "The packet is marked to be sent so far in the future that the fair queue refuses it.",
        &["a bandwidth limit that a network plugin sets by departure times", "timestamps of another clock"],
        QDISC,
    ),
    on(
        &["FQ_FLOW_LIMIT", "QDISC_DROP_FQ_FLOW_LIMIT", "QDISC_DROP_FLOW_LIMIT"],
        Fault,
        "This one flow has too many packets in the fair queue already.",
        &["one sender that floods"],
        QDISC,
    ),
    on(
        &["QDISC_DROP_MAXFLOWS"],
        Fault,
        "The queueing discipline follows too many flows already and cannot take a new one.",
        &["very many connections through one device"],
        QDISC,
    ),
    on(
        &["DUALPI2_STEP_DROP", "QDISC_DROP_L4S_STEP_NON_ECN"],
        Depends,
        "The low-latency queue is over its threshold and the packet cannot be marked, so it was dropped.",
        &["a sender without ECN in the low-latency queue"],
        QDISC,
    ),
    on(
        &["CPU_BACKLOG"],
        Fault,
        "The receiving CPU's backlog is full: packets come in faster than the kernel can work through them.",
        &["a flood between containers on few CPUs", "net.core.netdev_max_backlog too small"],
        &["cat /proc/net/softnet_stat (2nd column)", "sysctl net.core.netdev_max_backlog"],
    ),
    on(
        &["FULL_RING"],
        Fault,
        "The ring between the kernel and the program behind this device is full.",
        &["a VPN or virtual machine that does not read its tun or tap device fast enough"],
        &["ip -n NETNS -s link show DEV", "ip -n NETNS link set DEV txqueuelen 1000"],
    ),
];
