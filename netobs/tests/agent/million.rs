//! After a million packets every number is the kernel's, to the last one.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::thread;

use etherparse::PacketBuilder;
use netobs::netlink::Socket;
use netobs::netns::{Netns, in_netns};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send as send_frame, socket};
use serde_json::Value;

use super::bed::{Bed, PORT, inside, ip, netstat, send, snmp};
use super::common::{can_make_labs, run, skip};
use super::conntrack::statistics;
use super::served::{Agent, Scrape};
use super::tracepoint::Passages;
use super::tracer::is_slow;

/// Reserved for whoever tries something out at home (IEEE 802, local experimental): nobody takes or sends these.
const NOBODYS: u16 = 0x88b5;
/// Who answers to it has an address that `right` has no way back to.
const STRANGE: &str = "10.99.0.1";

/// A share of the million, in thousandths. In emulation it is of twenty thousand.
fn of_a_million(thousandths: u64) -> u64 {
    thousandths * if is_slow() { 20 } else { 1000 }
}

/// Sends a frame many times out of a namespace's `eth0`.
fn send_frames(netns: &str, frame: &[u8], times: u64) {
    let netns = Netns::open(netns).unwrap();
    in_netns(&netns, || {
        let links = Socket::open().unwrap().links().unwrap();
        let index = links.iter().find(|link| link.name == "eth0").unwrap().ifindex.0;
        // Of no protocol: it receives nothing.
        let raw = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None).unwrap();
        // SAFETY: an all-zero sockaddr_ll is a valid one.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
        address.sll_ifindex = i32::try_from(index).unwrap();
        let length = libc::socklen_t::try_from(size_of_val(&address)).unwrap();
        // SAFETY: the address is as long as said, and outlives the call.
        assert_eq!(unsafe { libc::bind(raw.as_raw_fd(), (&raw const address).cast(), length) }, 0);
        for _ in 0..times {
            send_frame(raw.as_raw_fd(), frame, MsgFlags::empty()).unwrap();
        }
    })
    .unwrap();
}

/// All drops in a namespace.
fn drops(scrape: &Scrape, netns: &str) -> u64 {
    scrape.with("packet_drops_total", "netns", netns).iter().map(|(_, drops)| *drops as u64).sum()
}

/// Nothing was lost on the way to the counters.
#[track_caller]
fn nothing_lost(scrape: &Scrape) {
    for stage in ["drops-overflow", "drops-missed", "hops-overflow", "hops-missed"] {
        assert_eq!(scrape.count(&format!("events_lost_total{{stage=\"{stage}\"}}")), 0, "{stage}");
    }
}

/// Each device of a namespace has the numbers of `ip -s -j link`.
#[track_caller]
fn interfaces_are_those_of_ip(scrape: &Scrape, netns: &str, links: &str) {
    let links: Value = serde_json::from_str(links).unwrap();
    for link in links.as_array().unwrap() {
        let device = link["ifname"].as_str().unwrap();
        for (direction, side) in [("receive", "rx"), ("transmit", "tx")] {
            for (what, field) in [("packets", "packets"), ("bytes", "bytes"), ("drops", "dropped")] {
                let series = format!("interface_{direction}_{what}_total{{netns=\"{netns}\",device=\"{device}\"}}");
                assert_eq!(scrape.get(&series), link["stats64"][side][field].as_f64(), "{series}: {link}");
            }
        }
    }
}

#[test]
fn drops_are_as_many_as_perf_counts_packets_freed() {
    let test = "drops_are_as_many_as_perf_counts_packets_freed";
    if !can_make_labs(test, &["ip"]) {
        return;
    }
    // No packet of anybody else's is of this protocol.
    let freed = match Passages::count("skb/kfree_skb", &format!("protocol == {NOBODYS}")) {
        Ok(freed) => freed,
        Err(error) => return skip(test, &format!("no perf event for skb:kfree_skb: {error}")),
    };
    let (bed, agent) = (Bed::new(), Agent::ready(&[]));
    let frame = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..], &NOBODYS.to_be_bytes(), &[0; 46]].concat();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| send_frames(&bed.left, &frame, of_a_million(500)));
        }
    });
    let sent = of_a_million(1000);
    let scrape = agent.scrape_until("every drop", |scrape| drops(scrape, &bed.right) >= sent);
    nothing_lost(&scrape);
    assert_eq!((drops(&scrape, &bed.right), freed.so_far()), (sent, sent));
    let received = format!("hop_packets_total{{netns=\"{}\",device=\"eth0\",hook=\"netif_receive_skb\"}}", bed.right);
    let queued = format!("hop_packets_total{{netns=\"{}\",device=\"eth0\",hook=\"net_dev_queue\"}}", bed.left);
    assert_eq!(scrape.count(&queued), sent);
    assert!(scrape.count(&received) <= sent, "{}", scrape.text);
    let links = run("ip", &["-n", &bed.right, "-s", "-j", "link"]).good().stdout;
    interfaces_are_those_of_ip(&agent.scrape(), &bed.right, &links);
}

#[test]
fn rules_protocols_connections_and_devices_agree() {
    let test = "rules_protocols_connections_and_devices_agree";
    if !can_make_labs(test, &["ip", "sysctl", "conntrack"]) {
        return;
    }
    let bed = Bed::new();
    let Bed { left, right } = &bed;
    Bed::drop_at(right, "input");
    inside(right, &["nft", "add rule ip t c ct state invalid counter"]).good();
    inside(right, &["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1"]).good();
    ip(left, &format!("addr add {STRANGE}/32 dev lo"));
    let netns = Netns::open(left).unwrap();
    let strange = in_netns(&netns, || UdpSocket::bind((STRANGE, 0)).unwrap()).unwrap();
    drop(netns);
    // No flag is set: to connection tracking that is no TCP.
    let mut invalid = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([10, 77, 0, 1], [10, 77, 0, 2], 64)
        .tcp(1, 2, 3, 4)
        .write(&mut invalid, &[])
        .unwrap();
    let agent = Agent::ready(&[]);
    thread::scope(|scope| {
        scope.spawn(|| send(left, "10.77.0.2", PORT, of_a_million(350)));
        scope.spawn(|| {
            send(left, "10.77.0.2", PORT + 1, of_a_million(300));
            for _ in 0..of_a_million(200) {
                strange.send_to(b"netobs", ("10.77.0.2", PORT)).unwrap();
            }
            send_frames(left, &invalid, of_a_million(150));
        });
    });
    // What is sent is dropped there, this way or that; `right` may answer that it is, as seldom as the kernel sees fit.
    agent.scrape_until("every drop", |scrape| drops(scrape, right) >= of_a_million(1000));
    let links = [left, right].map(|netns| (netns, run("ip", &["-n", netns, "-s", "-j", "link"]).good().stdout));
    let tracked = statistics(right);
    let scrape = agent.scrape();
    nothing_lost(&scrape);
    let count = |metric: &str, labels: &str| scrape.count(&format!("{metric}{{netns=\"{right}\"{labels}}}"));
    let told = scrape.with("packet_drops_total", "netns", right);
    assert_eq!(drops(&scrape, right), of_a_million(1000), "{told:?}");
    let policy = count("packet_drops_total", ",reason=\"NETFILTER_DROP\",cause=\"policy\"");
    assert_eq!(policy, Bed::dropped_by_rule(right), "{told:?}");
    let closed = count("packet_drops_total", ",reason=\"NO_SOCKET\",cause=\"no-listener\"");
    assert_eq!(closed, snmp(right, "Udp", "NoPorts") + snmp(right, "Tcp", "OutRsts"), "{told:?}");
    assert_eq!(count("rp_filter_drops_total", ""), netstat(right, "TcpExt", "IPReversePathFilter"));
    for (metric, counter) in [
        ("drops", "drop"),
        ("early_drops", "early_drop"),
        ("insert_failed", "insert_failed"),
        ("invalid", "invalid"),
        ("clash_resolved", "clash_resolve"),
    ] {
        // An older kernel or tool may not have it.
        if let Some(value) = tracked.get(counter) {
            assert_eq!(count(&format!("conntrack_{metric}_total"), ""), *value, "{metric}: {tracked:?}");
        }
    }
    for (netns, links) in &links {
        interfaces_are_those_of_ip(&scrape, netns, links);
    }
    // Nobody's backlog was full: then each of them is known exactly.
    if told.iter().all(|(series, _)| !series.contains("BACKLOG")) {
        // What is no TCP to connection tracking goes to a closed port all the same.
        assert_eq!((policy, closed), (of_a_million(350), of_a_million(300 + 150)), "{told:?}");
        assert_eq!(count("rp_filter_drops_total", ""), of_a_million(200));
        // And their answers are no connection's, either.
        assert!(tracked["invalid"] >= of_a_million(150), "{tracked:?}");
    }
}
