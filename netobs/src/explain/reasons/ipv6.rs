//! What only IPv6 has.

use super::super::Kind::{Depends, Fault, Noise};
use super::{Row, at, on};

pub(super) const ROWS: &[Row] = &[
    on(
        &["IPV6DISABLED"],
        Depends,
        "IPv6 is switched off here.",
        &["net.ipv6.conf.*.disable_ipv6 is 1, as container runtimes set it where there is no IPv6 network"],
        &["sysctl net.ipv6.conf.all.disable_ipv6 net.ipv6.conf.DEV.disable_ipv6 in NETNS"],
    ),
    at(
        &["IP_OUTNOROUTES", "IP_INNOROUTES", "IP_INADDRERRORS", "NOT_SPECIFIED"],
        &["ip6_pkt_drop", "ip6_pkt_discard", "ip6_pkt_discard_out", "ip6_pkt_prohibit"],
        Fault,
        "There is no IPv6 route to this destination, or one that forbids it.",
        &["no IPv6 default route", "an unreachable or prohibit route"],
        &["ip -n NETNS -6 route get DST", "ip -n NETNS -6 route"],
    ),
    on(
        &["IPV6_BAD_EXTHDR"],
        Fault,
        "An IPv6 extension header of this packet is malformed.",
        &["a program that sends hand-made packets", "damage on the way"],
        &["tcpdump -v in NETNS", "nstat -az Ip6InHdrErrors in NETNS"],
    ),
    on(
        &["IPV6_TOO_MANY_EXTHDRS"],
        Fault,
        "The packet has more IPv6 extension headers than the kernel accepts.",
        &["an attack, or a test of one"],
        &["tcpdump -v in NETNS"],
    ),
    on(
        &["IPV6_NDISC_FRAG"],
        Fault,
        "A neighbour discovery message came in fragments, which is not accepted.",
        &["a forged message", "net.ipv6.conf.*.suppress_frag_ndisc"],
        &["sysctl net.ipv6.conf.DEV.suppress_frag_ndisc in NETNS"],
    ),
    on(
        &["IPV6_NDISC_HOP_LIMIT"],
        Fault,
        "A neighbour discovery message came through a router, which it must not.",
        &["a forged message", "a proxy that forwards neighbour discovery as ordinary packets"],
        &["tcpdump -v icmp6 in NETNS"],
    ),
    on(
        &["IPV6_NDISC_BAD_CODE"],
        Fault,
        "A neighbour discovery message has a wrong code.",
        &["a broken or forged message"],
        &["tcpdump -v icmp6 in NETNS"],
    ),
    on(
        &["IPV6_NDISC_BAD_OPTIONS"],
        Fault,
        "A neighbour discovery message has options that are malformed.",
        &["a broken or forged message"],
        &["tcpdump -v icmp6 in NETNS"],
    ),
    on(
        &["IPV6_NDISC_NS_OTHERHOST"],
        Noise,
        "Somebody asked for the MAC address of another host, and the question reached this one too.",
        &["neighbour discovery flooded to every port of the bridge"],
        &["ip -n NETNS -6 addr"],
    ),
];
