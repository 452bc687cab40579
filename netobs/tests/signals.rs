//! The classic faults, each made by hand with `ip`, `nft` and `sysctl`, and the drop that the kernel answers with.
//!
//! One trace runs throughout. A fault is known by where its packet died: reason, function, namespace and device.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "common/mod.rs"]
mod common;
#[path = "common/records.rs"]
mod records;
#[path = "common/tracer.rs"]
mod tracer;

use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use common::{Lab, can_make_labs, run};
use netobs::netns::{Netns, in_netns};
use records::Packet;
use tracer::{Tracer, at_most};

/// One fault. Commands are run in the namespace of the node they name;
struct Fault {
    name: &'static str,
    /// `node: command`, one each.
    breaks: &'static [&'static str],
    /// What a user does then, see [`attempt`]; whether it works does not matter.
    tries: &'static [&'static str],
    /// One of these reasons.
    reasons: &'static [&'static str],
    /// One of these functions.
    functions: &'static [&'static str],
    node: &'static str,
    device: &'static str,
}

/// All on the default lab, each in one of its own.
const FAULTS: &[Fault] = &[
    Fault {
        name: "host-veth-down",
        breaks: &["host: ip link set c1-h down", "c1: ip neigh flush all"],
        tries: &["c1: ping -c1 -W1 10.40.0.3"],
        reasons: &["QDISC_DROP"],
        functions: &["__dev_queue_xmit", "kfree_skb_list_reason", "__tcf_kfree_skb_list"],
        node: "c1",
        device: "eth0",
    },
    Fault {
        name: "loopback-down",
        breaks: &["c1: ip link set lo down"],
        tries: &["c1: ping -c1 -W1 10.40.0.2"],
        reasons: &["QDISC_DROP"],
        functions: &["__dev_queue_xmit", "kfree_skb_list_reason", "__tcf_kfree_skb_list"],
        node: "c1",
        device: "lo",
    },
    Fault {
        name: "wrong-gateway",
        breaks: &["c1: ip route replace default via 10.40.0.254"],
        tries: &["c1: ping -c1 -W4 198.51.100.10"],
        reasons: &["NEIGH_FAILED"],
        functions: &["neigh_invalidate"],
        node: "c1",
        device: "eth0",
    },
    Fault {
        name: "dnat-wrong-target",
        breaks: &[
            "host: nft add table ip fault",
            "host: nft 'add chain ip fault in { type nat hook prerouting priority -150; }'",
            "host: nft add rule ip fault in tcp dport 8080 dnat to 10.40.0.99:80",
        ],
        tries: &["inet: tcp 203.0.113.2:8080"],
        reasons: &["NEIGH_FAILED"],
        functions: &["neigh_invalidate"],
        node: "host",
        device: "br0",
    },
    Fault {
        name: "ip-forward-off",
        breaks: &["host: sysctl -qw net.ipv4.ip_forward=0"],
        tries: &["c1: ping -c1 -W1 198.51.100.10"],
        reasons: &["IP_INADDRERRORS"],
        functions: &["ip_error"],
        node: "host",
        device: "br0",
    },
    Fault {
        name: "host-no-route",
        breaks: &["host: ip route delete default"],
        tries: &["c1: ping -c1 -W1 198.51.100.10"],
        reasons: &["IP_INNOROUTES"],
        functions: &["ip_error"],
        node: "host",
        device: "br0",
    },
    Fault {
        name: "forward-policy-drop",
        breaks: &["host: iptables -P FORWARD DROP"],
        tries: &["c1: ping -c1 -W1 198.51.100.10"],
        reasons: &["NETFILTER_DROP"],
        functions: &["nf_hook_slow", "nft_do_chain"],
        node: "host",
        device: "br0",
    },
    Fault {
        name: "rp-filter-strict",
        breaks: &["host: sysctl -qw net.ipv4.conf.all.rp_filter=1", "inet: ip address add 10.40.0.77/32 dev lo"],
        tries: &["inet: ping -c1 -W1 -I 10.40.0.77 203.0.113.2"],
        reasons: &["IP_RPFILTER"],
        functions: &["ip_rcv_finish_core"],
        node: "host",
        device: "up0",
    },
    Fault {
        name: "snat-port-clash",
        breaks: &[
            "host: nft add table ip fault",
            "host: nft 'add chain ip fault out { type nat hook postrouting priority 50; }'",
            "host: nft add rule ip fault out ip saddr 10.40.0.2 udp dport 53 snat to 203.0.113.2:5555",
        ],
        tries: &["c1: udp 4001 198.51.100.10:53", "c1: udp 4002 198.51.100.10:53"],
        reasons: &["NETFILTER_DROP"],
        functions: &["nf_hook_slow"],
        node: "host",
        device: "up0",
    },
    Fault {
        name: "mtu-path-smaller",
        breaks: &["host: ip link set up0 mtu 1400"],
        tries: &["c1: ping -c1 -W1 -M do -s 1450 198.51.100.10"],
        reasons: &["PKT_TOO_BIG"],
        functions: &["ip_forward"],
        node: "host",
        device: "br0",
    },
    Fault {
        name: "veth-mtu-mismatch",
        breaks: &["host: ip link set c1-h mtu 1400"],
        tries: &["c1: ping -c1 -W1 -M do -s 1450 10.40.0.3"],
        reasons: &["NOT_SPECIFIED"],
        functions: &["__dev_forward_skb2", "__dev_forward_skb", "veth_xmit"],
        node: "c1",
        device: "eth0",
    },
    Fault {
        name: "bridge-mtu-black-hole",
        breaks: &["host: ip link set c2-h mtu 1400"],
        tries: &["c1: ping -c1 -W1 -M do -s 1450 10.40.0.3"],
        reasons: &["NOT_SPECIFIED"],
        functions: &["br_nf_dev_queue_xmit", "br_dev_queue_push_xmit"],
        node: "host",
        device: "c2-h",
    },
    Fault {
        name: "port-not-published",
        breaks: &[],
        tries: &["inet: tcp 203.0.113.2:8099"],
        reasons: &["NO_SOCKET"],
        functions: &["tcp_v4_rcv"],
        node: "host",
        device: "up0",
    },
    Fault {
        name: "no-listener",
        breaks: &[],
        tries: &["c2: tcp 10.40.0.2:81"],
        reasons: &["NO_SOCKET"],
        functions: &["tcp_v4_rcv"],
        node: "c1",
        device: "eth0",
    },
    Fault {
        name: "dns-unreachable",
        breaks: &[],
        tries: &["c1: udp 4001 198.51.100.10:5353"],
        reasons: &["NO_SOCKET"],
        functions: &["__udp4_lib_rcv", "udp_rcv"],
        node: "inet",
        device: "eth0",
    },
    Fault {
        name: "hairpin-off",
        breaks: &[],
        tries: &["c1: tcp 203.0.113.2:8080"],
        reasons: &["NOT_SPECIFIED"],
        functions: &["br_handle_frame_finish"],
        node: "host",
        device: "c1-h",
    },
    Fault {
        name: "bridge-down",
        breaks: &["host: ip link set br0 down"],
        tries: &["c1: ping -c1 -W1 10.40.0.3"],
        reasons: &["BRIDGE_INGRESS_STP_STATE", "NOT_SPECIFIED"],
        functions: &["br_handle_frame"],
        node: "host",
        device: "c1-h",
    },
    Fault {
        name: "duplicate-address",
        // c2 knows the gateway, takes its address, and still sends through it.
        breaks: &[
            "c2: ping -c1 10.40.0.1",
            "c2: mac=$(ip neigh show 10.40.0.1 dev eth0 | sed 's/.*lladdr \\([^ ]*\\).*/\\1/') && \
             ip address add 10.40.0.1/32 dev eth0 && \
             ip neigh replace 10.40.0.9 lladdr $mac dev eth0 nud permanent && \
             ip route add 203.0.113.2 via 10.40.0.9 src 10.40.0.1",
        ],
        tries: &["c2: ping -c1 -W1 203.0.113.2"],
        reasons: &["IP_LOCAL_SOURCE", "NOT_SPECIFIED"],
        functions: &["ip_rcv_finish_core", "ip_rcv_finish", "ip_sabotage_in", "br_netif_receive_skb"],
        node: "host",
        device: "br0",
    },
    Fault {
        name: "stale-neighbour",
        breaks: &["c1: ip neigh replace 10.40.0.3 lladdr 02:00:00:00:00:99 dev eth0 nud permanent"],
        tries: &["c1: ping -c1 -W1 10.40.0.3"],
        reasons: &["OTHERHOST"],
        functions: &["ip_rcv_core"],
        node: "c2",
        device: "eth0",
    },
];

/// `node: command`, in that node's namespace.
#[track_caller]
fn act(lab: &Lab, line: &str) -> common::Answer {
    let (node, command) = line.split_once(": ").expect("node: command");
    run("ip", &["netns", "exec", &lab.netns(node), "sh", "-c", command])
}

/// As [`act`], or `tcp TO`: connects; `udp PORT TO`: sends a datagram from that port.
fn attempt(lab: &Lab, line: &str) {
    let (node, command) = line.split_once(": ").expect("node: command");
    let netns = Netns::open(&lab.netns(node)).unwrap();
    match command.split_whitespace().collect::<Vec<_>>()[..] {
        ["tcp", to] => {
            let _ = in_netns(&netns, || TcpStream::connect_timeout(&to.parse().unwrap(), Duration::from_secs(3)));
        }
        ["udp", port, to] => {
            let send = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port.parse().unwrap()))?.send_to(b"x", to);
            let _ = in_netns(&netns, send);
        }
        _ => {
            act(lab, line);
        }
    }
}

fn is_of(packet: &Packet, fault: &Fault, lab: &Lab) -> bool {
    packet.drop.as_ref().is_some_and(|drop| {
        drop.netns == Some(lab.netns(fault.node))
            && drop.device.as_deref() == Some(fault.device)
            && drop.reason.as_deref().is_some_and(|reason| fault.reasons.contains(&reason))
            && drop.function.as_deref().is_some_and(|function| fault.functions.contains(&function))
    })
}

#[test]
fn each_fault_is_seen_where_it_kills() {
    if !can_make_labs("each_fault_is_seen_where_it_kills", &["ip", "ping", "iptables", "sysctl"]) {
        return;
    }
    let labs: Vec<_> = FAULTS.iter().map(|_| Lab::up()).collect();
    let tracer = Tracer::attached(&["--drops"]);
    thread::scope(|scope| {
        // Each waits mostly for a network that does not answer.
        for (fault, lab) in FAULTS.iter().zip(&labs) {
            scope.spawn(|| {
                for line in fault.breaks {
                    act(lab, line).good();
                }
                for line in fault.tries {
                    attempt(lab, line);
                }
            });
        }
    });
    // The kernel asks three times before it gives a neighbour up.
    thread::sleep(at_most(Duration::from_millis(1500)).min(Duration::from_secs(5)));
    let traced = tracer.interrupt();
    let mut missed = Vec::new();
    for (fault, lab) in FAULTS.iter().zip(&labs) {
        let seen = traced.of(lab);
        if !seen.iter().any(|packet| is_of(packet, fault, lab)) {
            let drops: Vec<_> = seen.iter().filter_map(|packet| packet.drop.as_ref()).collect();
            missed.push(format!("{}: {drops:#?}", fault.name));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
