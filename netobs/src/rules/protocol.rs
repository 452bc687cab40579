//! Protocols above IP by the names that iptables and nft print.

/// As `/etc/protocols` has them, as far as firewalls meet them.
const NAMES: &[(&str, u8)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("ipencap", 4),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("ospf", 89),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
];

/// The number of a protocol, given by name or number; `None` for a name that is not known here.
pub(super) fn number(name: &str) -> Option<u8> {
    name.parse().ok().or_else(|| NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number))
}
