//! A connection to a published port, packet by packet.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use netobs::netns::{Netns, in_netns};

use super::common::{Lab, can_make_labs, run, skip};
use super::records::{Packet, Traced};
use super::tracer::{PATIENCE, Tracer};

/// The published port, as the world sees it.
const PUBLISHED: &str = "203.0.113.2:8080";

/// `GET /` from the world.
fn get(lab: &Lab) -> String {
    let address: SocketAddr = PUBLISHED.parse().unwrap();
    let talk = || {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    in_netns(&Netns::open(&lab.netns("inet")).unwrap(), talk).unwrap().expect("an answer")
}

/// The connection of one `get` that was answered, as netobs saw it.
fn traced_get(lab: &Lab) -> Traced {
    let tracer = Tracer::attached(&["tcp port 80 or tcp port 8080"]);
    let answer = get(lab);
    let traced = tracer.interrupt();
    assert!(answer.starts_with("HTTP/1"), "{answer}");
    traced.nothing_lost();
    traced
}

/// Counts TCP packets in c1, independently of netobs.
fn count_in_c1(lab: &Lab) {
    let rules = "add table ip count; add counter ip count seen; \
                 add chain ip count in { type filter hook input priority 0; }; \
                 add chain ip count out { type filter hook output priority 0; }; \
                 add rule ip count in meta l4proto tcp counter name seen; \
                 add rule ip count out meta l4proto tcp counter name seen";
    run("ip", &["netns", "exec", &lab.netns("c1"), "nft", rules]).good();
}

fn counted_in_c1(lab: &Lab) -> usize {
    let listed = run("ip", &["netns", "exec", &lab.netns("c1"), "nft", "list", "counter", "ip", "count", "seen"]);
    let listed = listed.good().stdout;
    let count = listed.split_whitespace().skip_while(|word| *word != "packets").nth(1).expect("a counter");
    count.parse().unwrap()
}

fn is_retransmission(packet: &Packet) -> bool {
    packet.relation.as_deref() == Some("retransmission")
}

#[test]
fn every_packet_of_a_published_connection_is_one_record() {
    if !can_make_labs("every_packet_of_a_published_connection_is_one_record", &["ip"]) {
        return;
    }
    let lab = Lab::up();
    count_in_c1(&lab);
    let traced = traced_get(&lab);
    let packets = traced.of(&lab);
    let told: Vec<_> =
        packets.iter().map(|packet| (&packet.id, packet.ends(), &packet.info, packet.path(&lab))).collect();
    assert_eq!(packets.len(), counted_in_c1(&lab), "records, and packets that c1's own firewall counted: {told:#?}");
    let host = Some(lab.netns("host"));
    let (asking, answering): (Vec<&Packet>, Vec<&Packet>) =
        packets.iter().copied().partition(|packet| packet.tuple.dport == Some(8080));
    for packet in &asking {
        let [nat] = &packet.nat[..] else { panic!("not one rewrite: {packet:#?}") };
        assert_eq!((nat.kind.as_str(), &nat.netns), ("dnat", &host));
        assert_eq!((nat.before.dst.as_deref(), nat.before.dport), (Some("203.0.113.2"), Some(8080)));
        assert_eq!((nat.after.dst.as_deref(), nat.after.dport), (Some("10.40.0.2"), Some(80)));
        assert_eq!(packet.path(&lab), ["inet/eth0", "host/up0", "host/br0", "host/c1-h", "c1/eth0"], "{packet:#?}");
    }
    for packet in &answering {
        let [nat] = &packet.nat[..] else { panic!("not one rewrite: {packet:#?}") };
        assert_eq!((nat.kind.as_str(), &nat.netns), ("un-dnat", &host));
        assert_eq!((nat.before.src.as_deref(), nat.before.sport), (Some("10.40.0.2"), Some(80)));
        assert_eq!((nat.after.src.as_deref(), nat.after.sport), (Some("203.0.113.2"), Some(8080)));
    }
    for packet in packets.iter().filter(|packet| !is_retransmission(packet)) {
        assert_eq!((packet.outcome.as_str(), &packet.parent), ("delivered", &None), "{packet:#?}");
    }
    for (what, side) in [("SYN", &asking), ("SYN+ACK", &answering), ("FIN", &asking), ("FIN", &answering)] {
        let has = |packet: &Packet| packet.info.as_deref().is_some_and(|info| info.starts_with(what));
        assert!(side.iter().any(|packet| has(packet)), "{what}: {told:#?}");
    }
    assert_eq!(packets.iter().map(|packet| &packet.id).collect::<HashSet<_>>().len(), packets.len(), "ids are unique");
}

#[test]
fn a_retransmission_is_a_packet_of_its_own() {
    let test = "a_retransmission_is_a_packet_of_its_own";
    if !can_make_labs(test, &["ip"]) {
        return;
    }
    let lab = Lab::up();
    // The first data packet, and no other: the generator begins with 0.
    let rules = "add table ip fault; add chain ip fault forward { type filter hook forward priority 0; }; \
                 add rule ip fault forward tcp dport 80 tcp flags & psh == psh numgen inc mod 1000 0 drop";
    let ruled = run("ip", &["netns", "exec", &lab.netns("host"), "nft", rules]);
    if ruled.status != 0 {
        return skip(test, &format!("nft has no numgen here: {}", ruled.stderr.lines().next().unwrap_or_default()));
    }
    let traced = traced_get(&lab);
    let packets = traced.of(&lab);
    let reason = |packet: &Packet| packet.drop.as_ref().and_then(|drop| drop.reason.clone());
    let dropped: Vec<_> = packets.iter().filter(|packet| reason(packet).as_deref() == Some("NETFILTER_DROP")).collect();
    let [dropped] = &dropped[..] else { panic!("not one drop: {packets:#?}") };
    // On a slow machine more than once, since the first is not acknowledged soon enough.
    let again: Vec<_> = packets.iter().filter(|packet| packet.parent.as_ref() == Some(&dropped.id)).collect();
    assert!(again.iter().all(|again| is_retransmission(again)), "{again:#?}");
    let again = again.first().expect("sent again");
    assert_eq!((again.outcome.as_str(), &again.info), ("delivered", &dropped.info), "{again:#?}");
    assert_ne!(again.id, dropped.id);
    assert_eq!(again.path(&lab).last().map(String::as_str), Some("c1/eth0"), "{again:#?}");
}
