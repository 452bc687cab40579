//! Neighbours: ARP and neighbour discovery, and the packets that wait for them.

use super::super::Kind::{Depends, Fault};
use super::{Row, at, on};

pub(super) const ROWS: &[Row] = &[
    on(
        &["NEIGH_FAILED"],
        Fault,
        "Nobody answered for the next hop's address (ARP or neighbour discovery failed), so this was never sent.",
        &[
            "the address is nobody's, such as a wrong gateway or DNAT target",
            "the cable or bridge port between is down",
        ],
        &["ip -n NETNS neigh show dev DEV", "ip -n NETNS route get DST", "netobs trace arp"],
    ),
    on(
        &["NEIGH_CREATEFAIL"],
        Fault,
        "The kernel could not make a neighbour entry for the next hop.",
        &["the neighbour table is full (it is shared by all namespaces)", "no memory"],
        &["sysctl net.ipv4.neigh.default.gc_thresh3", "dmesg | grep 'neighbour table overflow'", "ip -n NETNS neigh"],
    ),
    on(
        &["NEIGH_QUEUEFULL"],
        Fault,
        "Too many packets already wait for the next hop to answer ARP or neighbour discovery.",
        &["the next hop does not answer while the sender goes on sending"],
        &["ip -n NETNS neigh show dev DEV", "sysctl net.ipv4.neigh.DEV.unres_qlen_bytes in NETNS"],
    ),
    on(
        &["NEIGH_DEAD"],
        Depends,
        "The next hop's neighbour entry was being deleted just then.",
        &["the device went down or its namespace was removed", "somebody flushed the neighbour table"],
        &["ip -n NETNS neigh show dev DEV", "ip -n NETNS link show DEV"],
    ),
    on(
        &["NEIGH_HH_FILLFAIL"],
        Fault,
        "The frame's link-layer header could not be written.",
        &["a device whose address is not set yet", "a device that is just being reconfigured"],
        &["ip -n NETNS -d link show DEV"],
    ),
    at(
        &["QUEUE_PURGE", "NOT_SPECIFIED"],
        &["neigh_destroy"],
        Depends,
        "It still waited for the next hop to answer when the neighbour entry was deleted.",
        &["a container was removed", "nobody answered ARP, and then the device went down or the entry was flushed"],
        &["ip -n NETNS neigh show dev DEV", "netobs trace arp"],
    ),
    at(
        &["NOT_SPECIFIED"],
        &["neigh_invalidate", "arp_error_report", "ndisc_error_report", "ipv4_link_failure", "ip6_link_failure"],
        Fault,
        "Nobody answered for the next hop's address, so what waited for it was thrown away.",
        &["the address is nobody's", "the cable or bridge port between is down"],
        &["ip -n NETNS neigh show dev DEV", "ip -n NETNS route get DST", "netobs trace arp"],
    ),
];
