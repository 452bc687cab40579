//! Packets that wait until a neighbour has said where it is.

use std::net::UdpSocket;
use std::time::Duration;

use netobs::netns::{Netns, in_netns};
use serde_json::{Value, json};

use super::common::{Lab, can_make_labs, eventually, run, takes_too_long};
use super::records::{Hop, Packet, Traced};
use super::tracer::{Tracer, is_slow, trace};
use super::{at, told, within};

/// Has an address that nobody else has, in the bridge's network.
const NOBODY: &str = "10.40.0.77";
const OUTSIDE: &str = "198.51.100.10";
/// As many packets of one queue are told.
const TOLD: usize = 128;

/// The packets to an address, in the order of their sequence numbers.
fn to<'t>(traced: &'t Traced, lab: &Lab, address: &str) -> Vec<(&'t Packet, &'t Value)> {
    let mut packets = told(traced, lab);
    packets.retain(|(packet, _)| packet.ends().1 == address && packet.parent.is_none());
    packets.sort_by_key(|(packet, _)| packet.info.clone());
    packets
}

/// Whom the packet waited for, apart from how long.
fn neighbours(raw: &Value) -> Vec<Value> {
    let fields = ["address", "device", "netns", "outcome", "mac", "probes"];
    let list = at(raw, "/neighbours").as_array().expect("a list");
    list.iter().map(|one| fields.iter().map(|field| one.get(*field).expect("a field").clone()).collect()).collect()
}

/// How long the packet waited for the only neighbour it waited for.
fn waited(raw: &Value) -> Duration {
    Duration::from_nanos(at(raw, "/neighbours/0/waited_ns").as_u64().unwrap_or_else(|| panic!("unknown: {raw:#}")))
}

pub fn mac(lab: &Lab, node: &str, device: &str) -> String {
    let file = format!("/sys/class/net/{device}/address");
    within(lab, node, &["cat", &file]).good().stdout.trim().to_owned()
}

fn accounted_for(traced: &Traced) {
    assert_eq!(traced.summary.events, traced.summary.decoded + traced.summary.lost.get("ring").unwrap());
}

/// A lab whose uplink leads to somebody who does not answer for himself, and is asked for longer than usual.
fn silent_uplink() -> Lab {
    let lab = Lab::up();
    within(&lab, "inet", &["sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=8"]).good();
    within(&lab, "host", &["sysctl", "-qw", "net.ipv4.neigh.up0.mcast_solicit=1000"]).good();
    forget(&lab, [("inet", "eth0"), ("host", "up0")]);
    lab
}

/// Makes two neighbours forget each other. One that remembered would soon ask for the other, who would know it then.
fn forget(lab: &Lab, ends: [(&str, &str); 2]) {
    for (node, device) in ends {
        within(lab, node, &["ip", "neigh", "flush", "dev", device]).good();
    }
}

#[test]
fn answered_at_once() {
    if !can_make_labs("answered_at_once", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    forget(&lab, [("c2", "eth0"), ("c1", "eth0")]);
    let ping = ["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c2", "-i0.3", "-W5", "10.40.0.3"];
    let traced = trace("icmp", &ping);
    accounted_for(&traced);
    let [(first, waiting), (_, next)] = to(&traced, &lab, "10.40.0.3")[..] else { panic!("{traced:#?}") };
    assert_eq!(first.outcome, "delivered", "{first:#?}");
    let answered = json!(["10.40.0.3", "eth0", lab.netns("c1"), "answered", mac(&lab, "c2", "eth0"), 1]);
    assert_eq!(neighbours(waiting), [answered], "{waiting:#}");
    assert!(waited(waiting) > Duration::ZERO, "{waiting:#}");
    let hop =
        at(waiting, "/neighbours/0/before_hop").as_u64().and_then(|hop| usize::try_from(hop).ok()).expect("a hop");
    let (before, after) = first.hops.split_at(hop);
    let is_sent = |hop: &Hop| hop.hook == "net_dev_queue";
    assert!(!before.iter().any(is_sent) && after.iter().any(is_sent), "{hop} {first:#?}");
    // It is known now, and whoever asked is known to the one who answered.
    assert_eq!(neighbours(next), [] as [Value; 0], "{next:#}");
    for (_, reply) in to(&traced, &lab, "10.40.0.2") {
        assert_eq!(neighbours(reply), [] as [Value; 0], "{reply:#}");
    }
}

#[test]
fn nobody_answers_three_packets() {
    if !can_make_labs("nobody_answers_three_packets", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let ping = ["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c3", "-i0.3", "-W10", NOBODY];
    let traced = trace(&format!("icmp and dst host {NOBODY}"), &ping);
    accounted_for(&traced);
    let packets = to(&traced, &lab, NOBODY);
    assert_eq!(packets.len(), 3, "{packets:#?}");
    let failed = json!([NOBODY, "eth0", lab.netns("c1"), "failed", null, 3]);
    for (packet, raw) in &packets {
        let reason = packet.drop.as_ref().and_then(|drop| drop.reason.as_deref());
        assert_eq!(reason, Some("NEIGH_FAILED"), "{packet:#?}");
        assert_eq!(neighbours(raw), std::slice::from_ref(&failed), "{raw:#}");
    }
    // Whoever came later waited shorter, and all until the same moment.
    let [first, second, third] = [0, 1, 2].map(|index| waited(packets[index].1));
    // Three tenths of a second, give or take what the first costs more than the others.
    let apart = Duration::from_millis(200);
    assert!(first > second + apart && second > third + apart, "{first:?} {second:?} {third:?}");
    assert!(third > Duration::from_secs(1), "{third:?}");
    // They were seen as soon as they waited.
    for ((packet, _), waited) in packets.iter().zip([first, second, third]) {
        let offset = Duration::from_nanos(packet.drop.as_ref().expect("a drop").offset_ns);
        let apart = Duration::from_millis(if is_slow() { 250 } else { 100 });
        assert!(offset.abs_diff(waited) < apart, "{offset:?} {waited:?}");
    }
}

#[test]
fn seen_before_it_is_sent() {
    if takes_too_long("seen_before_it_is_sent") || !can_make_labs("seen_before_it_is_sent", &["ip", "ping", "sysctl"]) {
        return;
    }
    let lab = Lab::up();
    let netns = lab.netns("c1");
    let echo = ["ip", "netns", "exec", &netns, "ping", "-c1", "-W1", NOBODY];
    // The command is over before the kernel gives the neighbour up.
    within(&lab, "c1", &["sysctl", "-qw", "net.ipv4.neigh.eth0.mcast_solicit=1000"]).good();
    let traced = trace(&format!("icmp and dst host {NOBODY}"), &echo);
    accounted_for(&traced);
    let [(packet, raw)] = to(&traced, &lab, NOBODY)[..] else { panic!("{traced:#?}") };
    assert_eq!((packet.hops.len(), packet.outcome.as_str()), (0, "unknown"), "{packet:#?}");
    let pending = json!([NOBODY, "eth0", netns, "pending", null]);
    assert_eq!(json!(neighbours(raw)[0].as_array().unwrap()[..5]), pending, "{raw:#}");
}

/// How many echo requests c1 has sent.
fn echoes_of_c1(lab: &Lab) -> u64 {
    let text = within(lab, "c1", &["cat", "/proc/net/snmp"]).good().stdout;
    let mut lines = text.lines().filter(|line| line.starts_with("Icmp:")).map(str::split_whitespace);
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let (_, value) = names.zip(values).find(|(name, _)| *name == "OutEchos").expect("OutEchos");
    value.parse().unwrap()
}

#[test]
fn passed_on_once_the_gateway_answers() {
    if !can_make_labs("passed_on_once_the_gateway_answers", &["ip", "ping", "sysctl"]) {
        return;
    }
    let lab = silent_uplink();
    let filter = format!("icmp and dst host {OUTSIDE}");
    let tracer = Tracer::attached(&[&filter]);
    let before = echoes_of_c1(&lab);
    let mut ping = lab.start("c1", &["ping", "-c3", "-i0.3", "-W30", OUTSIDE]);
    eventually("all three are sent", || echoes_of_c1(&lab) == before + 3);
    std::thread::sleep(Duration::from_millis(1200));
    within(&lab, "inet", &["sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0"]).good();
    ping.wait().unwrap();
    let traced = tracer.interrupt();
    accounted_for(&traced);
    let packets = to(&traced, &lab, OUTSIDE);
    assert_eq!(packets.len(), 3, "{packets:#?}");
    let mac = mac(&lab, "inet", "eth0");
    for (packet, raw) in &packets {
        // One record, though nothing was heard of it for long.
        assert_eq!(packet.outcome, "delivered", "{packet:#?}");
        let list = neighbours(raw);
        let shown = list.last().expect("a neighbour");
        let expected = json!(["203.0.113.1", "up0", lab.netns("host"), "answered", mac]);
        assert_eq!(json!(shown.as_array().unwrap()[..5]), expected, "{raw:#}");
        assert!(shown[5].as_u64() > Some(1), "{raw:#}");
        let last = at(raw, "/neighbours").as_array().unwrap().len() - 1;
        let waited = at(raw, &format!("/neighbours/{last}/waited_ns")).as_u64().expect("a time");
        // Where it is sent comes as much later as it waited, give or take what the functions in between take.
        let hop = at(raw, &format!("/neighbours/{last}/before_hop")).as_u64().expect("a hop");
        let (before, after) = packet.hops.split_at(usize::try_from(hop).unwrap());
        let sent = after.iter().find(|hop| hop.hook == "net_dev_queue").expect("sent");
        assert_eq!(sent.device.as_deref(), Some("up0"), "{packet:#?}");
        let apart = sent.offset_ns - before.last().expect("received").offset_ns;
        assert!(apart > waited / 10 * 9 && waited > 100_000_000, "{apart} {waited} {packet:#?}");
    }
}

#[test]
fn waiting_still() {
    if takes_too_long("waiting_still") || !can_make_labs("waiting_still", &["ip", "ping", "sysctl"]) {
        return;
    }
    let lab = silent_uplink();
    let ping = ["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "-W1", OUTSIDE];
    let traced = trace(&format!("icmp and dst host {OUTSIDE}"), &ping);
    accounted_for(&traced);
    let [(packet, raw)] = to(&traced, &lab, OUTSIDE)[..] else { panic!("{traced:#?}") };
    assert_eq!(packet.outcome, "unknown", "{packet:#?}");
    let list = neighbours(raw);
    let pending = json!(["203.0.113.1", "up0", lab.netns("host"), "pending", null]);
    assert_eq!(json!(list.last().expect("a neighbour").as_array().unwrap()[..5]), pending, "{raw:#}");
    let waited = at(raw, "/neighbours").as_array().unwrap().last().unwrap().get("waited_ns");
    assert_eq!(waited, Some(&Value::Null), "{raw:#}");
}

#[test]
fn in_ipv6() {
    if !can_make_labs("in_ipv6", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    for (node, address) in [("c1", "fd40::2/64"), ("c2", "fd40::3/64")] {
        run("ip", &["-n", &lab.netns(node), "address", "add", address, "dev", "eth0", "nodad"]).good();
    }
    let echo = |to: &str| format!("icmp6 and icmp6[0] == 128 and dst host {to}");
    let ping = ["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "-W10"];
    let traced = trace(&echo("fd40::3"), &[&ping[..], &["fd40::3"]].concat());
    let [(_, raw)] = to(&traced, &lab, "fd40::3")[..] else { panic!("{traced:#?}") };
    let answered = json!(["fd40::3", "eth0", lab.netns("c1"), "answered", mac(&lab, "c2", "eth0"), 1]);
    assert_eq!(neighbours(raw), [answered], "{raw:#}");
    assert!(waited(raw) > Duration::ZERO, "{raw:#}");
    let traced = trace(&echo("fd40::77"), &[&ping[..], &["fd40::77"]].concat());
    let [(_, raw)] = to(&traced, &lab, "fd40::77")[..] else { panic!("{traced:#?}") };
    assert_eq!(neighbours(raw), [json!(["fd40::77", "eth0", lab.netns("c1"), "failed", null, 3])], "{raw:#}");
    assert!(waited(raw) > Duration::from_secs(1), "{raw:#}");
}

#[test]
fn pushed_out_of_a_full_queue() {
    if !can_make_labs("pushed_out_of_a_full_queue", &["ip", "ping", "sysctl"]) {
        return;
    }
    let lab = Lab::up();
    // So little that there is room for one packet, which the next pushes out.
    within(&lab, "c1", &["sysctl", "-qw", "net.ipv4.neigh.eth0.unres_qlen_bytes=1"]).good();
    let ping = ["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c3", "-i0.3", "-W10", NOBODY];
    let traced = trace(&format!("icmp and dst host {NOBODY}"), &ping);
    accounted_for(&traced);
    let packets = to(&traced, &lab, NOBODY);
    assert_eq!(packets.len(), 3, "{packets:#?}");
    let ends = [("NEIGH_QUEUEFULL", "pending"), ("NEIGH_QUEUEFULL", "pending"), ("NEIGH_FAILED", "failed")];
    for ((packet, raw), (reason, outcome)) in packets.iter().zip(ends) {
        assert_eq!(packet.drop.as_ref().and_then(|drop| drop.reason.as_deref()), Some(reason), "{packet:#?}");
        assert_eq!(at(raw, "/neighbours/0/outcome"), outcome, "{raw:#}");
        assert_eq!(at(raw, "/neighbours/0/address"), NOBODY, "{raw:#}");
        assert!(waited(raw) > Duration::from_millis(200), "{raw:#}");
    }
}

#[test]
fn no_more_is_told_of_a_flood() {
    if takes_too_long("no_more_is_told_of_a_flood") || !can_make_labs("no_more_is_told_of_a_flood", &["ip", "sysctl"]) {
        return;
    }
    let lab = Lab::up();
    // Nobody is given up before the flood is over.
    within(&lab, "c1", &["sysctl", "-qw", "net.ipv4.neigh.eth0.mcast_solicit=1000"]).good();
    let tracer = Tracer::attached(&[&format!("udp and dst host {NOBODY}")]);
    let netns = Netns::pinned(&lab.netns("c1")).unwrap();
    // The queue takes as much as one socket may have under way.
    in_netns(&netns, || {
        for _ in 0..4 {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            for _ in 0..150 {
                socket.send_to(b"anybody?", (NOBODY, 4711)).unwrap();
            }
        }
    })
    .unwrap();
    let traced = tracer.interrupt();
    accounted_for(&traced);
    let packets = to(&traced, &lab, NOBODY);
    let waited = packets.iter().filter(|(_, raw)| !neighbours(raw).is_empty()).count();
    assert!(waited <= TOLD && waited > TOLD / 2 && waited < packets.len(), "{waited} of {}", packets.len());
    for (packet, _) in packets {
        let reason = packet.drop.as_ref().and_then(|drop| drop.reason.as_deref());
        assert_eq!(reason, Some("NEIGH_QUEUEFULL"), "{packet:#?}");
    }
}
