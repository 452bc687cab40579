//! The way through labs that are whole finds nothing; through labs that are broken, what was broken.

use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use netobs::diagnose::machine::Machine;
use netobs::diagnose::way::{End, Way, walk};
use netobs::diagnose::{Endpoint, Protocol, Question};
use netobs::netns::Netns;

use crate::common::{Lab, can_make_labs, takes_too_long};

/// Walks from a node to `ADDRESS` or `ADDRESS:PORT`; a port that ends in `u` is one of UDP.
#[track_caller]
pub fn way(lab: &Lab, from: &str, to: &str) -> Way {
    let name = lab.netns(from);
    let netns = Netns::pinned(&name).unwrap().inode();
    let (address, protocol, port) = match to.parse::<IpAddr>() {
        Ok(address) => (address, Protocol::Icmp, None),
        Err(_) => {
            let (address, port) = to.rsplit_once(':').unwrap();
            let protocol = if port.ends_with('u') { Protocol::Udp } else { Protocol::Tcp };
            (address.parse().unwrap(), protocol, Some(port.trim_end_matches('u').parse().unwrap()))
        }
    };
    let from = Endpoint { name, netns, pid: None };
    walk(&mut Machine::new(), &Question { from, to: address, port, protocol })
}

fn causes(way: &Way) -> Vec<&'static str> {
    way.findings.iter().map(|finding| finding.cause).collect()
}

/// Breaks a lab by a scenario, or by commands.
#[track_caller]
fn breaks(lab: &Lab, how: &str) {
    if how.contains(' ') {
        for line in how.lines().map(str::trim) {
            let (node, command) = line.split_once(": ").unwrap();
            let words: Vec<&str> = command.split(' ').collect();
            lab.exec(node, &words).good();
        }
    } else {
        crate::common::lab(&["break", how, "--name", &lab.name]).good();
    }
}

/// Scenario or commands, who asks, whom, and what is found.
const FAULTS: [(&str, &str, &str, &[&str]); 21] = [
    ("host-veth-down", "c1", "10.40.0.1", &["host-veth-down"]),
    ("container-veth-down", "c1", "198.51.100.10", &["container-veth-down"]),
    ("dangling-cable", "c1", "10.40.0.1", &["dangling-cable"]),
    ("veth-not-enslaved", "c1", "10.40.0.1", &["veth-not-enslaved"]),
    ("veth-not-enslaved", "c1", "10.40.0.3", &["veth-not-enslaved"]),
    ("bridge-down", "c1", "10.40.0.1", &["bridge-down"]),
    ("bridge-down", "c1", "10.40.0.3", &["bridge-down"]),
    ("loopback-down", "c1", "127.0.0.1", &["loopback-down"]),
    ("no-default-route", "c1", "198.51.100.10", &["no-default-route"]),
    ("wrong-gateway", "c1", "198.51.100.10", &["wrong-gateway"]),
    ("address-without-prefix", "c1", "10.40.0.1", &["address-without-prefix"]),
    ("duplicate-routes", "host", "10.40.0.3", &["duplicate-routes"]),
    ("host-no-route", "c1", "198.51.100.10", &["host-no-route"]),
    ("ip-forward-off", "c1", "198.51.100.10", &["ip-forward-off"]),
    ("rp-filter-strict", "c1", "198.51.100.10", &["rp-filter-strict"]),
    ("duplicate-address", "c1", "10.40.0.1", &["duplicate-address"]),
    ("stale-neighbour", "c1", "10.40.0.3", &["stale-neighbour"]),
    ("no-masquerade", "c1", "198.51.100.10", &["no-masquerade"]),
    ("dnat-wrong-target", "inet", "203.0.113.2:8080", &["dnat-wrong-target"]),
    ("host-veth-down", "host", "10.40.0.2", &["host-veth-down"]),
    ("hairpin-off", "c1", "203.0.113.2:8080", &["hairpin-off"]),
];

/// Faults that are no scenario, and several at once.
const INVENTED: [(&str, &str, &str, &str, &[&str]); 28] = [
    ("default", "c1: ip route add blackhole 198.51.100.10", "c1", "198.51.100.10", &["blackhole-route"]),
    ("default", "c1: ip route add prohibit 198.51.100.10", "c1", "198.51.100.10", &["prohibit-route"]),
    ("default", "host: ip route add unreachable 198.51.100.0/24", "c1", "198.51.100.10", &["unreachable-route"]),
    (
        "default",
        "host: bridge link set dev c1-h isolated on\nhost: bridge link set dev c2-h isolated on",
        "c1",
        "10.40.0.3",
        &["port-isolated"],
    ),
    ("default", "host: sysctl -qw net.ipv4.conf.br0.forwarding=0", "c1", "198.51.100.10", &["forwarding-off"]),
    ("default", "host: ip address del 10.40.0.1/24 dev br0", "c1", "198.51.100.10", &["gateway-address-missing"]),
    ("default", "host: ip route del 10.40.0.0/24 dev br0", "c1", "198.51.100.10", &["connected-route-missing"]),
    ("default", "c2: ip link set eth0 down", "c1", "10.40.0.3", &["container-veth-down"]),
    ("default", "host: ip link set up0 down", "c1", "198.51.100.10", &["device-down"]),
    ("default", "inet: ip link set eth0 down", "c1", "198.51.100.10", &["device-down"]),
    ("default", "c1: ip address flush dev eth0", "c1", "10.40.0.1", &["address-missing"]),
    ("default", "c1: ip link del eth0", "c1", "10.40.0.1", &["no-device"]),
    ("default", "host: ip link set c2-h nomaster", "c1", "10.40.0.3", &["veth-not-enslaved"]),
    (
        "default",
        "host: ip neigh replace 10.40.0.2 lladdr 02:00:00:00:00:99 dev br0 nud permanent",
        "c1",
        "10.40.0.1",
        &["stale-neighbour"],
    ),
    ("default", "inet: ip route add blackhole 203.0.113.2", "c1", "198.51.100.10", &["blackhole-route"]),
    ("default", "c1: ip route del default", "inet", "203.0.113.2:8080", &["no-default-route"]),
    ("vxlan", "host2: ip link set vx0 down", "c1", "10.50.0.12", &["device-down"]),
    ("vxlan", "host2: ip link set eth0 down", "c1", "10.50.0.12", &["device-down"]),
    ("vxlan", "host1: ip link set c1-h nomaster", "c1", "10.50.0.12", &["veth-not-enslaved"]),
    ("routed", "host: ip route del 10.10.0.3", "c1", "10.10.0.3", &["host-no-route"]),
    ("ipv6", "host: sysctl -qw net.ipv6.conf.all.forwarding=0", "c1", "2001:db8:2::10", &["ip-forward-off"]),
    ("ipv6", "c1: ip -6 route del default", "c1", "2001:db8:2::10", &["no-default-route"]),
    (
        "default",
        "host: ip link set c1-h down\nhost: sysctl -qw net.ipv4.ip_forward=0",
        "c1",
        "198.51.100.10",
        &["host-veth-down", "ip-forward-off"],
    ),
    (
        "default",
        "c1: ip route del default\nhost: ip link set c1-h nomaster",
        "c1",
        "198.51.100.10",
        &["no-default-route", "veth-not-enslaved"],
    ),
    (
        "default",
        "c1: ip route replace default via 10.40.0.254\nhost: ip route del default",
        "c1",
        "198.51.100.10",
        &["host-no-route", "wrong-gateway"],
    ),
    (
        "default",
        "c1: ip link set eth0 down\nhost: sysctl -qw net.ipv4.ip_forward=0",
        "c1",
        "198.51.100.10",
        &["container-veth-down", "ip-forward-off"],
    ),
    (
        "default",
        "host: ip link set br0 down\nhost: nft flush ruleset",
        "c1",
        "198.51.100.10",
        &["bridge-down", "no-masquerade"],
    ),
    (
        "default",
        "c1: ip address flush dev eth0\nc1: ip address add 10.40.0.2/32 dev eth0\nhost: ip link set c1-h down",
        "c1",
        "198.51.100.10",
        &["address-without-prefix", "host-veth-down"],
    ),
];

#[test]
fn faults_that_are_no_scenario_are_found_and_several_at_once() {
    if takes_too_long("faults_that_are_no_scenario_are_found_and_several_at_once")
        || !can_make_labs("faults_that_are_no_scenario_are_found_and_several_at_once", &["bridge"])
    {
        return;
    }
    let mut wrong = Vec::new();
    for (topology, how, from, to, expected) in INVENTED {
        let lab = Lab::unbuilt();
        lab.build_from(topology).good();
        breaks(&lab, how);
        let way = way(&lab, from, to);
        let mut found = causes(&way);
        found.sort_unstable();
        if found != expected {
            wrong.push(format!("{how}, {from} to {to}: {found:?}: {way:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_fault_is_found_and_no_other() {
    if takes_too_long("each_fault_is_found_and_no_other") || !can_make_labs("each_fault_is_found_and_no_other", &[]) {
        return;
    }
    let mut wrong = Vec::new();
    for (how, from, to, expected) in FAULTS {
        let lab = Lab::unbuilt();
        let topology = if how == "rp-filter-strict" { "two-uplinks" } else { "default" };
        lab.build_from(topology).good();
        breaks(&lab, how);
        let way = way(&lab, from, to);
        let found = causes(&way);
        if found != expected {
            wrong.push(format!("{how}, {from} to {to}: {found:?}: {:#?}", way.findings));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Who reaches whom in the built-in topologies as they are made.
const HEALTHY: [(&str, &str, &[&str]); 26] = [
    ("default", "c1", &["10.40.0.1", "10.40.0.2", "10.40.0.3", "198.51.100.10", "203.0.113.1", "127.0.0.1"]),
    ("default", "c2", &["10.40.0.2", "10.40.0.2:80", "198.51.100.10:80", "198.51.100.10:53u", "203.0.113.2"]),
    ("default", "host", &["10.40.0.2", "10.40.0.3", "198.51.100.10", "10.40.0.1"]),
    ("default", "inet", &["203.0.113.2:8080", "203.0.113.2", "198.51.100.10"]),
    ("three-containers", "net1", &["10.10.0.3", "10.10.0.4", "10.10.0.1", "198.51.100.10"]),
    ("three-containers", "net3", &["10.10.0.2", "10.10.0.3:80", "203.0.113.1"]),
    ("three-containers", "host", &["10.10.0.4", "198.51.100.10"]),
    ("one-container", "net0", &["172.18.0.11"]),
    ("one-container", "host", &["172.18.0.10"]),
    ("routed", "c1", &["10.10.0.3", "10.10.0.1"]),
    ("routed", "c2", &["10.10.0.2"]),
    ("routed", "host", &["10.10.0.2", "10.10.0.3"]),
    ("no-bridge", "host", &["172.18.0.10"]),
    ("no-bridge", "net0", &["172.18.0.100"]),
    ("two-uplinks", "c1", &["198.51.100.10", "10.40.0.1", "203.0.113.1"]),
    ("two-uplinks", "inet", &["10.40.0.2", "192.0.2.2"]),
    ("uplink-in-bridge", "c1", &["198.51.100.10", "203.0.113.1", "203.0.113.2"]),
    ("uplink-in-bridge", "inet", &["203.0.113.10", "203.0.113.2"]),
    ("uplink-in-bridge", "host", &["203.0.113.10", "198.51.100.10"]),
    ("vxlan", "c1", &["10.50.0.12", "10.50.0.1", "10.50.0.2"]),
    ("vxlan", "host1", &["192.0.2.2", "10.50.0.12"]),
    ("vxlan", "c2", &["10.50.0.11"]),
    ("ipv6", "c1", &["10.60.0.3", "fd00:60::3", "fd00:60::1", "2001:db8:2::10", "198.51.100.10"]),
    ("ipv6", "inet", &["203.0.113.2:8080"]),
    ("ipv6", "host", &["fd00:60::2", "2001:db8:2::10"]),
    ("host-only", "host", &["127.0.0.1"]),
];

#[test]
fn a_healthy_lab_has_no_finding() {
    if takes_too_long("a_healthy_lab_has_no_finding") || !can_make_labs("a_healthy_lab_has_no_finding", &[]) {
        return;
    }
    let mut wrong = Vec::new();
    for group in HEALTHY.chunk_by(|a, b| a.0 == b.0) {
        let lab = Lab::unbuilt();
        lab.build_from(group[0].0).good();
        for (topology, from, targets) in group {
            for to in *targets {
                let way = way(&lab, from, to);
                let home = Netns::pinned(&lab.netns(from)).unwrap().inode();
                let arrives = matches!(way.end, End::Arrives(_)) && way.back_end == End::Arrives(home);
                if !way.findings.is_empty() || !arrives || !way.unknown.is_empty() {
                    wrong.push(format!("{topology}, {from} to {to}: {way:#?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_rule_that_publishes_to_nobody_is_put_right_by_its_own_advice() {
    if !can_make_labs("a_rule_that_publishes_to_nobody_is_put_right_by_its_own_advice", &["sh"]) {
        return;
    }
    let own = Lab::up();
    breaks(&own, "dnat-wrong-target");
    let found = way(&own, "inet", "203.0.113.2:8080").findings;
    assert!(found[0].evidence.iter().any(|line| line.contains("-c1 listens on port 80")), "{found:#?}");
    let [fix] = found[0].fix.as_slice() else { panic!("one command: {found:#?}") };
    crate::common::run("sh", &["-c", fix]).good();
    let mended = way(&own, "inet", "203.0.113.2:8080");
    assert!(mended.findings.is_empty(), "{fix}: {:#?}", mended.findings);
}

/// What is advised is typed, and then nothing is wrong any more.
const MENDED: [(&str, &str, &str); 10] = [
    ("host-veth-down", "c1", "10.40.0.1"),
    ("container-veth-down", "c1", "198.51.100.10"),
    ("dangling-cable", "c1", "10.40.0.1"),
    ("no-default-route", "c1", "198.51.100.10"),
    ("wrong-gateway", "c1", "198.51.100.10"),
    ("address-without-prefix", "c1", "198.51.100.10"),
    ("duplicate-routes", "host", "10.40.0.3"),
    ("host-no-route", "c1", "198.51.100.10"),
    ("stale-neighbour", "c1", "10.40.0.3"),
    ("no-masquerade", "c1", "198.51.100.10"),
];

#[test]
fn the_advice_mends_what_was_found() {
    if takes_too_long("the_advice_mends_what_was_found")
        || !can_make_labs("the_advice_mends_what_was_found", &["sh", "sysctl"])
    {
        return;
    }
    let mut wrong = Vec::new();
    for (how, from, to) in MENDED {
        let own = Lab::up();
        breaks(&own, how);
        let found = way(&own, from, to).findings;
        for fix in found.iter().flat_map(|finding| &finding.fix) {
            let typed = crate::common::run("sh", &["-c", fix]);
            if typed.status != 0 {
                wrong.push(format!("{how}: {fix}: {}", typed.stderr));
            }
        }
        // A link that came back is felt a moment later.
        let (began, mut left) = (Instant::now(), way(&own, from, to).findings);
        while !left.is_empty() && began.elapsed() < Duration::from_secs(5) {
            sleep(Duration::from_millis(50));
            left = way(&own, from, to).findings;
        }
        if found.is_empty() || !left.is_empty() {
            wrong.push(format!("{how}: {left:#?}"));
        }
        let ping = own.exec(from, &["ping", "-c1", "-W2", to]);
        if ping.status != 0 {
            wrong.push(format!("{how}: {}", ping.stdout));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nobody_is_missed_who_shares_anothers_link() {
    if !can_make_labs("nobody_is_missed_who_shares_anothers_link", &["ip"]) {
        return;
    }
    let own = Lab::up();
    let shared = "link add mv0 link c1-h type macvlan mode bridge";
    let (host, c2) = (own.netns("host"), own.netns("c2"));
    let ip = |netns: &str, words: &str| {
        crate::common::run("ip", &[&["-n", netns], words.split(' ').collect::<Vec<_>>().as_slice()].concat())
    };
    if ip(&host, "link set c1-h nomaster").status != 0 || ip(&host, shared).status != 0 {
        crate::common::skip("nobody_is_missed_who_shares_anothers_link", "this kernel has no macvlan");
        return;
    }
    ip(&host, &format!("link set mv0 netns {c2}")).good();
    ip(&c2, "link set mv0 up").good();
    ip(&c2, "address add 10.40.0.77/24 dev mv0").good();
    let way = way(&own, "c1", "10.40.0.77");
    assert!(!causes(&way).contains(&"unknown-host"), "{:#?}", way.findings);
    assert!(way.unknown.iter().any(|line| line.contains("10.40.0.77 is mv0")), "{:#?}", way.unknown);
}

#[test]
fn the_way_is_a_line_of_devices() {
    if !can_make_labs("the_way_is_a_line_of_devices", &[]) {
        return;
    }
    let own = Lab::up();
    let line = |way: &Way| -> Vec<String> {
        let devices = |stage: &netobs::diagnose::way::Stage| {
            stage.devices().map(|device| device.name.clone()).collect::<Vec<_>>().join(" ")
        };
        way.out.iter().map(|stage| format!("{}: {}", stage.name.replace(&own.name, "lab"), devices(stage))).collect()
    };
    let near = way(&own, "c1", "10.40.0.3");
    assert_eq!(line(&near), ["lab-c1: eth0", "lab-host: c1-h br0 c2-h", "lab-c2: eth0"]);
    let far = way(&own, "c1", "198.51.100.10");
    assert_eq!(line(&far), ["lab-c1: eth0", "lab-host: c1-h br0 up0", "lab-inet: eth0"]);
    assert_eq!(far.out[1].tuple_out.src, Some("203.0.113.2".parse().unwrap()));
    assert_eq!(far.back.len(), 3);
    let inwards = way(&own, "inet", "203.0.113.2:8080");
    assert_eq!(line(&inwards), ["lab-inet: eth0", "lab-host: up0 br0 c1-h", "lab-c1: eth0"]);
    let (there, back) = (&inwards.out[1], &inwards.back[1]);
    assert_eq!((there.tuple_out.dst, there.tuple_out.dport), (Some("10.40.0.2".parse().unwrap()), Some(80)));
    assert_eq!((back.tuple_out.src, back.tuple_out.sport), (Some("203.0.113.2".parse().unwrap()), Some(8080)));
}
