//! Which packet is this: copies made by the bridge, and memory that the kernel uses again.

use std::net::UdpSocket;
use std::time::Duration;

use netobs::netns::{Netns, in_netns};

use super::common::{Lab, can_make_labs};
use super::records::Packet;
use super::tracer::{Tracer, is_slow, trace};

#[test]
fn a_flooded_packets_copies_name_their_parent() {
    if !can_make_labs("a_flooded_packets_copies_name_their_parent", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let (c1, c2) = (lab.netns("c1"), lab.netns("c2"));
    // Attaching takes a slow machine seconds, in which the neighbours may find each other again; who is asked learns, too.
    let asks_anew = format!("ip -n {c2} neigh flush dev eth0; ip neigh flush dev eth0; exec ping -c1 10.40.0.3");
    let traced = trace("arp", &["ip", "netns", "exec", &c1, "sh", "-c", &asks_anew]);
    traced.nothing_lost();
    // Not the answer to a question of c2's own.
    let asks = |packet: &&Packet| {
        packet.ends() == ("10.40.0.2", "10.40.0.3")
            && packet.info.as_deref().is_some_and(|info| info.starts_with("who has"))
    };
    let requests: Vec<_> = traced.of(&lab).into_iter().filter(asks).collect();
    let (originals, copies): (Vec<&Packet>, Vec<&Packet>) =
        requests.iter().copied().partition(|packet| packet.parent.is_none());
    let [original] = &originals[..] else { panic!("not one question: {requests:#?}") };
    // One goes on to c2, one up to the bridge's own address.
    assert!(!copies.is_empty(), "{requests:#?}");
    for copy in &copies {
        assert_eq!(copy.parent.as_ref(), Some(&original.id), "{requests:#?}");
        assert_eq!(copy.relation.as_deref(), Some("clone"));
    }
    assert_eq!(original.path(&lab).first().map(String::as_str), Some("c1/eth0"));
    for end in ["c2/eth0", "host/br0"] {
        let there: Vec<_> =
            requests.iter().filter(|packet| packet.path(&lab).iter().any(|place| place == end)).collect();
        assert_eq!(there.len(), 1, "{end}: {requests:#?}");
    }
    let ids: std::collections::HashSet<_> = requests.iter().map(|packet| &packet.id).collect();
    assert_eq!(ids.len(), requests.len(), "ids are unique");
}

/// Alike to the byte: without a connection, the IP id of a datagram that must not be fragmented is 0.
#[test]
fn identical_datagrams_are_as_many_packets() {
    if !can_make_labs("identical_datagrams_are_as_many_packets", &["ip"]) {
        return;
    }
    let lab = Lab::up();
    let count = if is_slow() { 50 } else { 500 };
    let socket = |node: &str, address: &str| {
        in_netns(&Netns::open(&lab.netns(node)).unwrap(), || UdpSocket::bind(address)).unwrap().unwrap()
    };
    let (sender, receiver) = (socket("c1", "10.40.0.2:4000"), socket("c2", "10.40.0.3:4001"));
    receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let tracer = Tracer::attached(&["udp port 4001"]);
    let mut bytes = [0; 16];
    for _ in 0..count {
        // One after the other: each takes the memory that the one before has just left.
        sender.send_to(b"same", "10.40.0.3:4001").unwrap();
        assert_eq!(receiver.recv(&mut bytes).unwrap(), 4);
    }
    let traced = tracer.interrupt();
    traced.nothing_lost();
    let packets = traced.of(&lab);
    assert_eq!(packets.len(), count);
    for packet in packets {
        assert_eq!(packet.path(&lab), ["c1/eth0", "host/c1-h", "host/c2-h", "c2/eth0"], "{packet:#?}");
        assert_eq!((packet.outcome.as_str(), &packet.parent), ("delivered", &None), "{packet:#?}");
        assert_eq!((packet.tuple.sport, packet.tuple.dport), (Some(4000), Some(4001)));
    }
}

#[test]
fn quick_pings_are_two_packets_each() {
    if !can_make_labs("quick_pings_are_two_packets_each", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let traced = trace("icmp", &["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c50", "-i0.002", "198.51.100.10"]);
    traced.nothing_lost();
    let packets = traced.of(&lab);
    assert_eq!(packets.len(), 100);
    let reason = |packet: &Packet| packet.drop.as_ref().and_then(|drop| drop.reason.clone());
    for (number, packet) in packets.into_iter().enumerate() {
        assert_eq!(packet.nat.len(), 1, "{packet:#?}");
        // For the last answer ping waits as long as between two questions.
        let is_too_late = number == 99 && reason(packet).as_deref() == Some("NO_SOCKET");
        assert!(is_too_late || packet.outcome == "delivered", "{packet:#?}");
    }
}
