//! Devices, memory, and the packet as the kernel holds it.

use super::super::Kind::{Depends, Fault};
use super::{Row, at, on};

pub(super) const ROWS: &[Row] = &[
    at(
        &["NOT_SPECIFIED", "PKT_TOO_BIG"],
        &["__dev_forward_skb2", "__dev_forward_skb", "dev_forward_skb"],
        Fault,
        "The other end of the veth pair does not take it: its MTU is smaller than this packet, or it is down.",
        &["the two ends of a veth pair have different MTUs"],
        &[
            "ip -n NETNS link show DEV",
            "ip link show in the namespace of the other end",
            "ip -n NETNS -s link show DEV",
        ],
    ),
    on(
        &["DEV_READY"],
        Fault,
        "The device is not ready: it is down, or nothing is attached to it yet.",
        &["a device that was just set down or removed", "a tun device whose program is not running"],
        &["ip -n NETNS link show DEV"],
    ),
    on(
        &["DEV_HDR"],
        Fault,
        "The driver's own header on this packet is wrong.",
        &["a virtual machine or VPN that writes wrong headers to its tap device"],
        &["ip -n NETNS -d -s link show DEV"],
    ),
    on(
        &["HDR_TRUNC"],
        Fault,
        "The packet is too short to hold the header that must be read from it.",
        &["a truncated packet", "a program that sends hand-made packets"],
        &["tcpdump -v in NETNS"],
    ),
    on(
        &["NOMEM"],
        Fault,
        "The kernel had no memory for this.",
        &["memory pressure on the machine", "the container's own memory limit"],
        &["free -m", "memory.events of the container's cgroup", "cat /proc/pressure/memory"],
    ),
    on(
        &["SKB_CSUM"],
        Fault,
        "The checksum could not be computed while the packet was being sent.",
        &["a malformed packet with checksum offload"],
        &["ethtool -k DEV in NETNS", "ip -n NETNS -s link show DEV"],
    ),
    on(
        &["SKB_GSO_SEG"],
        Fault,
        "A large packet could not be cut into segments for this device.",
        &["an offload that tunnel and driver understand differently"],
        &["ethtool -k DEV in NETNS", "ethtool -K DEV tso off gso off, to try"],
    ),
    on(
        &["SKB_BAD_GSO"],
        Fault,
        "A large packet has a wrong description of its segments.",
        &["a virtual machine or program that sends malformed large packets"],
        &["ethtool -k DEV in NETNS", "dmesg"],
    ),
    on(
        &["SKB_UCOPY_FAULT"],
        Fault,
        "The kernel could not copy the data from or to the program's memory.",
        &["a program or virtual machine that ended or gave a wrong buffer", "no memory"],
        &["dmesg"],
    ),
    on(
        &["RECURSION_LIMIT"],
        Fault,
        "Virtual devices send into each other without end, and the kernel stopped it.",
        &["a tunnel whose own packets are routed into the tunnel", "stacked devices in a circle"],
        &["ip -n NETNS -d link", "ip -n NETNS route get TUNNEL-PEER", "dmesg | grep 'Dead loop'"],
    ),
    at(
        &["DEV_READY", "NOT_SPECIFIED"],
        &["enqueue_to_backlog"],
        Depends,
        "The device it came in by was being taken down.",
        &["a container or its veth pair is being removed"],
        &["ip -n NETNS link show DEV"],
    ),
];
