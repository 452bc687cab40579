//! The kernel functions a packet passes, where the kernel lets a program see their entry.

use std::sync::LazyLock;

use netobs_ebpf::Hook;

use super::{HookRow, Kind};

/// What a packet is to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// It is followed already or not at all.
    Never,
    /// A socket has just made it.
    Always,
    /// A socket or the bridge may have just made it.
    Maybe,
    /// It had its chance to be followed before.
    Over,
}

/// One function.
struct FunctionRow {
    name: &'static str,
    prototype: &'static str,
    begin: Begin,
}

/// Functions of one module and one part of the way.
struct Area {
    /// Where they are if not in the kernel proper.
    module: Option<&'static str>,
    adds: &'static str,
    blind_spot: &'static str,
    functions: &'static [FunctionRow],
}

const fn row(name: &'static str, prototype: &'static str) -> FunctionRow {
    FunctionRow { name, prototype, begin: Begin::Never }
}

const fn beginning(name: &'static str, prototype: &'static str, begin: Begin) -> FunctionRow {
    FunctionRow { name, prototype, begin }
}

/// `okfn`s and the functions that have their shape.
const OKFN: &str = "(struct net *net, struct sock *sk, struct sk_buff *skb)";
const SKB: &str = "(struct sk_buff *skb)";
/// `nf_hookfn`
const HOOKFN: &str = "(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)";
/// `packet_type.func`
const PACKET_TYPE: &str =
    "(struct sk_buff *skb, struct net_device *dev, struct packet_type *pt, struct net_device *orig_dev)";
/// `ndo_start_xmit`
const XMIT: &str = "(struct sk_buff *skb, struct net_device *dev)";

/// `xt_target.target`
const TARGET: &str = "(struct sk_buff *skb, const struct xt_action_param *par)";

static AREAS: [Area; 13] = [
    Area {
        module: None,
        adds: "a function on the way out of a socket or namespace, IPv4",
        blind_spot: "the IPv4 functions between socket, routing and device, both ways",
        functions: &[
            beginning(
                "__ip_queue_xmit",
                "(struct sock *sk, struct sk_buff *skb, struct flowi *fl, __u8 tos)",
                Begin::Always,
            ),
            beginning("ip_send_skb", "(struct net *net, struct sk_buff *skb)", Begin::Always),
            beginning("__ip_local_out", OKFN, Begin::Maybe),
            row("ip_output", OKFN),
            row("ip_mc_output", OKFN),
            row("ip_finish_output", OKFN),
            row(
                "ip_do_fragment",
                "(struct net *net, struct sock *sk, struct sk_buff *skb, int (*output)(struct net *, struct sock *, struct sk_buff *))",
            ),
            row("ip_finish_output2", OKFN),
        ],
    },
    Area {
        module: None,
        adds: "a function on the way into a namespace, to a socket or onwards, IPv4",
        blind_spot: "the IPv4 functions between socket, routing and device, both ways",
        functions: &[
            row("ip_rcv", PACKET_TYPE),
            row("ip_rcv_core", "(struct sk_buff *skb, struct net *net)"),
            row("ip_rcv_finish", OKFN),
            row(
                "ip_route_input_noref",
                "(struct sk_buff *skb, __be32 daddr, __be32 saddr, u8 tos, struct net_device *dev); 6.13: dscp_t dscp",
            ),
            row("ip_forward", SKB),
            row("ip_forward_finish", OKFN),
            row("ip_local_deliver", SKB),
            row("ip_local_deliver_finish", OKFN),
            row("ip_protocol_deliver_rcu", "(struct net *net, struct sk_buff *skb, int protocol)"),
            row("ip_error", SKB),
            row("icmp_rcv", SKB),
            row("tcp_v4_rcv", SKB),
            row("udp_rcv", SKB),
        ],
    },
    Area {
        module: None,
        adds: "a function on the way out of a socket or namespace, IPv6",
        blind_spot: "the IPv6 functions between socket, routing and device, both ways",
        functions: &[
            beginning(
                "ip6_xmit",
                "(const struct sock *sk, struct sk_buff *skb, struct flowi6 *fl6, __u32 mark, struct ipv6_txoptions *opt, int tclass, u32 priority)",
                Begin::Always,
            ),
            beginning("ip6_send_skb", SKB, Begin::Always),
            beginning("__ip6_local_out", OKFN, Begin::Maybe),
            row("ip6_output", OKFN),
            row("ip6_finish_output", OKFN),
            row(
                "ip6_fragment",
                "(struct net *net, struct sock *sk, struct sk_buff *skb, int (*output)(struct net *, struct sock *, struct sk_buff *))",
            ),
            row("ip6_finish_output2", OKFN),
        ],
    },
    Area {
        module: None,
        adds: "a function on the way into a namespace, to a socket or onwards, IPv6",
        blind_spot: "the IPv6 functions between socket, routing and device, both ways",
        functions: &[
            row("ipv6_rcv", PACKET_TYPE),
            row("ip6_rcv_finish", OKFN),
            row("ip6_route_input", SKB),
            row("ip6_forward", SKB),
            row("ip6_input", SKB),
            row("ip6_mc_input", SKB),
            row("ip6_input_finish", OKFN),
            row("ip6_protocol_deliver_rcu", "(struct net *net, struct sk_buff *skb, int nexthdr, bool have_final)"),
            row("icmpv6_rcv", SKB),
            row("tcp_v6_rcv", SKB),
            row("udpv6_rcv", SKB),
        ],
    },
    Area {
        module: None,
        adds: "the neighbour entry that the link-layer address comes from",
        blind_spot: "the functions in which a packet gets its link-layer address",
        functions: &[
            row("neigh_resolve_output", "(struct neighbour *neigh, struct sk_buff *skb)"),
            row("neigh_connected_output", "(struct neighbour *neigh, struct sk_buff *skb)"),
        ],
    },
    Area {
        module: None,
        adds: "a function between the stack and a device",
        blind_spot: "the functions between the stack, a device's driver and the backlog queue",
        functions: &[
            row("__dev_queue_xmit", "(struct sk_buff *skb, struct net_device *sb_dev)"),
            beginning(
                "dev_hard_start_xmit",
                "(struct sk_buff *first, struct net_device *dev, struct netdev_queue *txq, int *ret)",
                Begin::Over,
            ),
            row("__dev_forward_skb2", "(struct net_device *dev, struct sk_buff *skb, bool check_mtu)"),
            row("__netif_rx", SKB),
            row("enqueue_to_backlog", "(struct sk_buff *skb, int cpu, unsigned int *qtail)"),
            row("__netif_receive_skb_one_core", "(struct sk_buff *skb, bool pfmemalloc)"),
        ],
    },
    Area {
        module: Some("veth"),
        adds: "the driver that hands a packet to the other end",
        blind_spot: "the functions between the stack, a device's driver and the backlog queue",
        functions: &[row("veth_xmit", XMIT)],
    },
    Area {
        module: Some("bridge"),
        adds: "a step of the bridge: in, which way, out",
        blind_spot: "what a bridge decides: forwarded, flooded or handed up",
        functions: &[
            row("br_handle_frame", "(struct sk_buff **pskb)"),
            row("br_handle_frame_finish", OKFN),
            row("br_pass_frame_up", "(struct sk_buff *skb, bool promisc)"),
            row("br_netif_receive_skb", OKFN),
            row("br_dev_xmit", XMIT),
            row(
                "br_forward",
                "(const struct net_bridge_port *to, struct sk_buff *skb, bool local_rcv, bool local_orig)",
            ),
            row(
                "br_flood",
                "(struct net_bridge *br, struct sk_buff *skb, enum br_pkt_type pkt_type, bool local_rcv, bool local_orig[, u16 vid: 6.9])",
            ),
            beginning(
                "__br_forward",
                "(const struct net_bridge_port *to, struct sk_buff *skb, bool local_orig)",
                Begin::Maybe,
            ),
            row("br_forward_finish", OKFN),
            row("br_dev_queue_push_xmit", OKFN),
        ],
    },
    Area {
        module: Some("br_netfilter"),
        adds: "a step of br_netfilter: a bridged frame passes the rules for IP",
        blind_spot: "when br_netfilter passes bridged frames through the rules for IP",
        functions: &[
            row("br_nf_pre_routing", HOOKFN),
            row("br_nf_pre_routing_finish", OKFN),
            row("br_nf_pre_routing_finish_bridge", OKFN),
            row("br_nf_forward", HOOKFN),
            row("br_nf_forward_ip", HOOKFN),
            row("br_nf_forward_finish", OKFN),
            row("br_nf_post_routing", HOOKFN),
            row("br_nf_dev_queue_xmit", OKFN),
        ],
    },
    Area {
        module: Some("nf_conntrack"),
        adds: "a step of connection tracking: looked up, confirmed",
        blind_spot: "which step of connection tracking or NAT a packet is in",
        functions: &[
            row("nf_conntrack_in", "(struct sk_buff *skb, const struct nf_hook_state *state)"),
            row("ipv4_confirm", HOOKFN),
            row("nf_confirm", HOOKFN),
            row("__nf_conntrack_confirm", SKB),
        ],
    },
    Area {
        module: Some("nf_nat"),
        adds: "a step of NAT: asked, decided, rewritten",
        blind_spot: "which step of connection tracking or NAT a packet is in",
        functions: &[
            row("nf_nat_inet_fn", HOOKFN),
            row(
                "nf_nat_packet",
                "(struct nf_conn *ct, enum ip_conntrack_info ctinfo, unsigned int hooknum, struct sk_buff *skb)",
            ),
            row(
                "nf_nat_manip_pkt",
                "(struct sk_buff *skb, struct nf_conn *ct, enum nf_nat_manip_type mtype, enum ip_conntrack_dir dir)",
            ),
        ],
    },
    Area {
        module: Some("vxlan"),
        adds: "a packet entering or leaving a VXLAN tunnel",
        blind_spot: "where a packet enters and leaves a VXLAN tunnel",
        functions: &[row("vxlan_xmit", XMIT), row("vxlan_rcv", "(struct sock *sk, struct sk_buff *skb)")],
    },
    Area {
        module: Some("xt_TCPMSS"),
        adds: "iptables' TCPMSS: a SYN's segment size is made smaller",
        blind_spot: "when iptables' TCPMSS looks at a SYN",
        functions: &[row("tcpmss_tg4", TARGET), row("tcpmss_tg6", TARGET)],
    },
];

/// The rows, in the order of their sites.
pub(super) static ROWS: LazyLock<Vec<HookRow>> = LazyLock::new(|| {
    let rows = AREAS.iter().flat_map(|area| area.functions.iter().map(move |row| (area, row)));
    let row = |(site, (area, row)): (u8, (&'static Area, &'static FunctionRow))| HookRow {
        hook: Hook::Function,
        site,
        name: row.name,
        kinds: &[Kind::KprobeMulti, Kind::Kprobe],
        function: row.name,
        prototype: row.prototype,
        adds: area.adds,
        blind_spot: area.blind_spot,
    };
    (0..).zip(rows).map(row).collect()
});

/// Functions that do the work of one that a kernel does not have, before and after a change.
const STAND_INS: [(&str, &str); 2] = [
    // 6.4
    ("br_nf_forward_ip", "br_nf_forward"),
    // 6.3
    ("ipv4_confirm", "nf_confirm"),
];

/// What else is known of a function by its site.
fn entry(site: u8) -> Option<(&'static Area, &'static FunctionRow)> {
    AREAS.iter().flat_map(|area| area.functions.iter().map(move |row| (area, row))).nth(usize::from(site))
}

/// The module that has the function; `None` for the kernel proper.
pub fn module(site: u8) -> Option<&'static str> {
    entry(site)?.0.module
}

/// What a packet is to the function.
pub fn begin(site: u8) -> Begin {
    entry(site).map_or(Begin::Never, |(_, row)| row.begin)
}

/// The function that does this one's work on the kernels that do not have it.
pub fn stand_in(name: &str) -> Option<&'static str> {
    STAND_INS.iter().find_map(|(old, new)| match name {
        _ if name == *old => Some(*new),
        _ if name == *new => Some(*old),
        _ => None,
    })
}
