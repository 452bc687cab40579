//! Tunnels: VXLAN, GRE and what they have in common.

use super::super::Kind::{Depends, Fault};
use super::{Row, at, on};

const VXLAN: &[&str] = &["ip -n NETNS -d link show type vxlan", "bridge fdb show dev DEV"];
const GRE: &[&str] = &["ip -n NETNS -d tunnel show", "ip -n NETNS -d -s link show type gre"];

pub(super) const ROWS: &[Row] = &[
    on(
        &["VXLAN_INVALID_HDR"],
        Fault,
        "The VXLAN header is wrong: its VNI flag is missing or reserved bits are set.",
        &["something else sends to the VXLAN port", "the sender uses an extension (GBP, GPE) that this end does not"],
        VXLAN,
    ),
    on(
        &["VXLAN_VNI_NOT_FOUND"],
        Fault,
        "No VXLAN device here has the network identifier (VNI) of this packet.",
        &["the overlay network is not set up on this node", "two nodes that disagree about the VNI"],
        VXLAN,
    ),
    on(
        &["VXLAN_ENTRY_EXISTS"],
        Depends,
        "A container's MAC address came in from another node than its fixed forwarding entry says.",
        &["a stale permanent entry after a container moved", "two containers with the same MAC address"],
        VXLAN,
    ),
    at(
        &["NOT_SPECIFIED"],
        &["vxlan_rcv"],
        Fault,
        "The VXLAN device refused the packet: unknown network identifier (VNI), bad header or bad inner address.",
        &["the overlay network is not set up on this node", "two nodes that disagree about the VNI or its extensions"],
        VXLAN,
    ),
    on(
        &["IP_TUNNEL_ECN"],
        Fault,
        "The tunnel's outer header says there was congestion, and the inner packet cannot carry that.",
        &["a router that marks packets of senders that know no ECN"],
        &["sysctl net.ipv4.tcp_ecn in the sender's namespace", "ip -n NETNS -s link show DEV"],
    ),
    on(
        &["TUNNEL_TXINFO"],
        Fault,
        "A packet reached a tunnel device that takes its target from metadata, and this packet carries none.",
        &["a route to an 'external' tunnel device without encap", "a BPF program that did not set the tunnel key"],
        &["ip -n NETNS -d link show DEV", "ip -n NETNS route get DST"],
    ),
    on(
        &["TNL_OPT_MISMATCH"],
        Fault,
        "The tunnel packet's options are not those this end is configured for.",
        &["checksum or sequence numbers switched on at one end only"],
        GRE,
    ),
    on(
        &["TNL_OLD_SEQ"],
        Fault,
        "The tunnel packet's sequence number is older than the last one seen.",
        &["the other end restarted", "packets that are reordered"],
        GRE,
    ),
    on(
        &["GRE_INVALID_HDR"],
        Fault,
        "The GRE header is wrong: an unknown version, or routing that nobody supports.",
        &["a broken peer"],
        GRE,
    ),
    on(&["GRE_CSUM"], Fault, "The GRE checksum is wrong.", &["damage on the way"], GRE),
    on(
        &["GRE_TUNNEL_NOT_FOUND"],
        Fault,
        "No GRE tunnel here has these end points and this key.",
        &["the tunnel is not set up on this node", "two ends that disagree about the key"],
        GRE,
    ),
];
