//! What was sent is what was dropped is what was counted.

use std::net::UdpSocket;

use netobs::netns::{Netns, in_netns};

use super::bed::{Bed, PORT, ip, refused, send, snmp};
use super::common::{can_make_labs, eventually, run};
use super::counting::Counting;
use super::tracer::PATIENCE;

const DATAGRAMS: u64 = 10_000;

#[test]
fn datagrams_to_a_closed_port() {
    if !can_make_labs("datagrams_to_a_closed_port", &["ip"]) {
        return;
    }
    let bed = Bed::new();
    let counting = Counting::attached(&["--interval", "200ms"]);
    send(&bed.left, "10.77.0.2", PORT, DATAGRAMS);
    refused(&bed.right, DATAGRAMS);
    let counted = counting.interrupt();
    counted.nothing_lost();
    let rows: Vec<_> = counted.rows.iter().filter(|row| row.is("NO_SOCKET", &bed.right, "udp")).collect();
    let [row] = &rows[..] else { panic!("not one row: {:#?}", counted.rows) };
    assert_eq!(row.count, DATAGRAMS);
    assert_eq!(row.count, snmp(&bed.right, "Udp", "NoPorts"), "the kernel's own counter");
    assert_eq!(row.device.as_deref(), Some("eth0"));
    let inode = Netns::open(&bed.right).unwrap().inode();
    assert_eq!(row.netns_inode, Some(inode.0));
    assert!(row.function.as_deref().is_some_and(|function| function.contains("udp")), "{row:#?}");
    assert!(row.explanation.contains("port") || row.explanation.contains("listen"), "{row:#?}");
}

#[test]
fn datagrams_a_rule_drops() {
    if !can_make_labs("datagrams_a_rule_drops", &["ip"]) {
        return;
    }
    let bed = Bed::new();
    Bed::drop_at(&bed.left, "output");
    let counting = Counting::attached(&[]);
    send(&bed.left, "10.77.0.2", PORT, DATAGRAMS);
    let counted = counting.interrupt();
    counted.nothing_lost();
    assert_eq!(counted.total(|row| row.is("NETFILTER_DROP", &bed.left, "udp")), DATAGRAMS, "{counted:#?}");
    assert_eq!(Bed::dropped_by_rule(&bed.left), DATAGRAMS);
}

#[test]
fn datagrams_over_a_veth_whose_other_end_is_down() {
    if !can_make_labs("datagrams_over_a_veth_whose_other_end_is_down", &["ip"]) {
        return;
    }
    let bed = Bed::new();
    ip(&bed.right, "link set eth0 down");
    // Until the kernel has noticed that the carrier is gone the driver drops, with no reason.
    let state = || run("ip", &["-n", &bed.left, "-o", "link", "show", "eth0"]).good().stdout;
    let began = std::time::Instant::now();
    while state().contains("state UP") {
        assert!(began.elapsed() < PATIENCE, "{}", state());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let counting = Counting::attached(&[]);
    send(&bed.left, "10.77.0.2", PORT, DATAGRAMS);
    let counted = counting.interrupt();
    counted.nothing_lost();
    let own = |row: &super::counting::Row| row.netns.as_ref() == Some(&bed.left) && row.proto.as_deref() == Some("udp");
    assert_eq!(counted.total(own), DATAGRAMS, "{:#?}", counted.rows);
    for row in counted.rows.iter().filter(|row| own(row)) {
        assert_eq!(row.device.as_deref(), Some("eth0"), "{row:#?}");
        assert!(row.reason.as_deref().is_some_and(|reason| reason.starts_with("QDISC_DROP")), "{row:#?}");
    }
}

/// There the packet's device is overwritten before the drop; from 6.11 on the kernel names the socket.
#[test]
fn datagrams_nobody_reads() {
    if !can_make_labs("datagrams_nobody_reads", &["ip"]) {
        return;
    }
    let bed = Bed::new();
    let netns = Netns::open(&bed.right).unwrap();
    let _socket = in_netns(&netns, || UdpSocket::bind(("10.77.0.2", PORT)).unwrap()).unwrap();
    let counting = Counting::attached(&["udp", "port", &PORT.to_string()]);
    send(&bed.left, "10.77.0.2", PORT, DATAGRAMS);
    let errors = || snmp(&bed.right, "Udp", "RcvbufErrors");
    let mut last = u64::MAX;
    eventually("no more are dropped", || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        errors() == std::mem::replace(&mut last, errors())
    });
    let counted = counting.interrupt();
    counted.nothing_lost();
    let lost = errors();
    assert!(lost > 0);
    let full = |row: &super::counting::Row| row.reason.as_deref() == Some("SOCKET_RCVBUFF");
    assert_eq!(counted.total(full), lost, "{:#?}", counted.rows);
    for row in counted.rows.iter().filter(|row| full(row)) {
        assert!(row.netns.is_none() || row.netns.as_ref() == Some(&bed.right), "{row:#?}");
        assert_eq!(row.proto.as_deref(), Some("udp"), "{row:#?}");
    }
}

#[test]
fn of_other_protocols() {
    if !can_make_labs("of_other_protocols", &["ip", "ping"]) {
        return;
    }
    let bed = Bed::new();
    // ARP for an address nobody has: the neighbour entry fails and the packet that waited for it is dropped.
    let counting = Counting::attached(&["--netns", &bed.left]);
    run("ip", &["netns", "exec", &bed.left, "ping", "-c1", "-W4", "10.77.0.99"]);
    let counted = counting.interrupt();
    counted.nothing_lost();
    assert!(counted.total(|row| row.is("NEIGH_FAILED", &bed.left, "icmp")) >= 1, "{:#?}", counted.rows);
}
