//! A ping and its answer, between containers, through NAT, over IPv6.

use std::net::UdpSocket;
use std::thread::sleep;
use std::time::Duration;

use netobs::netns::{Netns, in_netns};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use super::common::{Lab, can_make_labs, run};
use super::records::{Packet, Traced};
use super::tracer::{PATIENCE, Tracer, trace};

/// c1's way to c2.
const THROUGH_THE_BRIDGE: [&str; 4] = ["c1/eth0", "host/c1-h", "host/c2-h", "c2/eth0"];
/// c1's way to the world.
const THROUGH_NAT: [&str; 5] = ["c1/eth0", "host/c1-h", "host/br0", "host/up0", "inet/eth0"];

/// The lab's two packets, request first, both delivered on the way expected and back.
#[track_caller]
fn exchange<'t>(traced: &'t Traced, lab: &Lab, way: &[&str]) -> [&'t Packet; 2] {
    traced.nothing_lost();
    let packets = traced.of(lab);
    let Ok([request, reply]) = <[&Packet; 2]>::try_from(packets) else {
        panic!("not exactly two packets: {:#?}", traced.of(lab));
    };
    let back: Vec<&str> = way.iter().rev().copied().collect();
    for (packet, way) in [(request, way), (reply, &back)] {
        assert_eq!(packet.outcome, "delivered", "{packet:#?}");
        assert!(packet.drop.is_none() && packet.parent.is_none(), "{packet:#?}");
        assert_eq!(packet.path(lab), way, "{packet:#?}");
        packet.offsets_rise();
    }
    [request, reply]
}

#[test]
fn between_containers() {
    if !can_make_labs("between_containers", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let traced = trace("icmp", &["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "10.40.0.3"]);
    let [request, reply] = exchange(&traced, &lab, &THROUGH_THE_BRIDGE);
    assert_eq!((request.ends(), reply.ends()), (("10.40.0.2", "10.40.0.3"), ("10.40.0.3", "10.40.0.2")));
    for packet in [request, reply] {
        assert_eq!((packet.proto.as_str(), packet.length), ("icmp", 98));
        assert!(packet.nat.is_empty(), "{packet:#?}");
        assert!(packet.hops.iter().all(|hop| hop.tuple == packet.tuple), "{packet:#?}");
    }
    assert_eq!(traced.summary.command_status, Some(0));
    let hooks: Vec<_> = request.hops.iter().map(|hop| hop.hook.as_str()).collect();
    for hook in ["net_dev_queue", "net_dev_start_xmit", "netif_rx", "netif_receive_skb"] {
        assert!(hooks.contains(&hook), "{hook}: {hooks:?}");
    }
}

/// The kernel frees what answers a raw socket at once; the copy that the socket has is read when its owner gets to it.
#[test]
fn an_answer_that_is_read_late() {
    if !can_make_labs("an_answer_that_is_read_late", &["ip"]) {
        return;
    }
    let lab = Lab::up();
    let tracer = Tracer::attached(&["icmp"]);
    let raw = || socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp);
    let raw = UdpSocket::from(in_netns(&Netns::open(&lab.netns("c1")).unwrap(), raw).unwrap().unwrap());
    // An echo request, its checksum, an identifier and a sequence number of 1.
    raw.send_to(&[8, 0, 0xf7, 0xfd, 0, 1, 0, 1], ("10.40.0.3", 0)).unwrap();
    sleep(Duration::from_millis(100));
    raw.set_read_timeout(Some(PATIENCE)).unwrap();
    raw.recv(&mut [0; 100]).unwrap();
    exchange(&tracer.interrupt(), &lab, &THROUGH_THE_BRIDGE);
}

#[test]
fn fields_are_null_rather_than_missing() {
    if !can_make_labs("fields_are_null_rather_than_missing", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let traced = trace("icmp", &["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "10.40.0.3"]);
    let packet = traced.raw.first().unwrap();
    let all = ["type", "id", "parent", "time", "proto", "length", "tuple", "hops", "nat", "outcome", "drop"];
    let tuple = ["src", "dst", "sport", "dport"];
    let hop = ["offset_ns", "netns", "netns_inode", "device", "ifindex", "hook", "length", "tuple", "ct"];
    for (place, fields) in [("", &all[..]), ("/tuple", &tuple), ("/hops/0", &hop), ("/hops/0/tuple", &tuple)] {
        for field in fields {
            assert!(packet.pointer(&format!("{place}/{field}")).is_some(), "{place}/{field}: {packet:#}");
        }
    }
    let time = packet.pointer("/time").and_then(|time| time.as_str()).unwrap();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z", "{time}");
    for probe in &traced.summary.probes {
        assert_eq!(probe.attached, probe.why_not.is_none(), "{}", probe.name);
    }
}

#[test]
fn through_source_nat() {
    if !can_make_labs("through_source_nat", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let traced = trace("icmp", &["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "198.51.100.10"]);
    let [request, reply] = exchange(&traced, &lab, &THROUGH_NAT);
    let host = Some(lab.netns("host"));
    let [nat] = &request.nat[..] else { panic!("not one rewrite: {request:#?}") };
    assert_eq!((nat.kind.as_str(), &nat.netns), ("masquerade", &host));
    assert_eq!((nat.before.src.as_deref(), nat.after.src.as_deref()), (Some("10.40.0.2"), Some("203.0.113.2")));
    assert_eq!((nat.before.dst.as_deref(), nat.after.dst.as_deref()), (Some("198.51.100.10"), Some("198.51.100.10")));
    let [nat] = &reply.nat[..] else { panic!("not one rewrite: {reply:#?}") };
    assert_eq!((nat.kind.as_str(), &nat.netns), ("un-snat", &host));
    assert_eq!((nat.before.dst.as_deref(), nat.after.dst.as_deref()), (Some("203.0.113.2"), Some("10.40.0.2")));
    // The request was one packet from c1's stack to the world's, whatever its addresses.
    assert_eq!(request.ends(), ("10.40.0.2", "198.51.100.10"));
    let arrived = request.hops.last().unwrap();
    assert_eq!(arrived.tuple.src.as_deref(), Some("203.0.113.2"), "{request:#?}");
    // Conntrack, where the host had decided: a new connection, and the reply to it.
    let states = |packet: &Packet| -> Vec<String> {
        packet.hops.iter().filter_map(|hop| hop.ct.as_ref()?.state.clone()).collect()
    };
    assert!(states(request).contains(&"new".into()), "{request:#?}");
    assert!(states(reply).contains(&"established".into()), "{reply:#?}");
    let entry = request.hops.iter().rev().find_map(|hop| hop.ct.as_ref()).unwrap();
    assert_eq!(entry.orig.as_ref().and_then(|orig| orig.src.as_deref()), Some("10.40.0.2"), "{entry:#?}");
    assert_eq!(entry.reply.as_ref().and_then(|reply| reply.dst.as_deref()), Some("203.0.113.2"), "{entry:#?}");
}

#[test]
fn between_link_local_addresses() {
    if !can_make_labs("between_link_local_addresses", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let address = |node: &str| {
        let shown = run("ip", &["-n", &lab.netns(node), "-6", "-o", "address", "show", "dev", "eth0", "scope", "link"]);
        let shown = shown.good().stdout;
        let address =
            shown.split_whitespace().skip_while(|word| *word != "inet6").nth(1).expect("a link-local address");
        address.split('/').next().unwrap().to_owned()
    };
    let (c1, c2) = (address("c1"), address("c2"));
    let to = format!("{c2}%eth0");
    let echo = "icmp6 and (ip6[40] = 128 or ip6[40] = 129)";
    let traced = trace(echo, &["ip", "netns", "exec", &lab.netns("c1"), "ping", "-6", "-c1", &to]);
    let [request, reply] = exchange(&traced, &lab, &THROUGH_THE_BRIDGE);
    assert_eq!((request.ends(), reply.ends()), ((c1.as_str(), c2.as_str()), (c2.as_str(), c1.as_str())));
    assert_eq!((request.proto.as_str(), request.length), ("icmp6", 118));
}
