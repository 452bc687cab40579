//! What packets meet in a lab.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use netobs::netns::{Netns, in_netns};

use crate::common::{Lab, can_make_labs};
use crate::{LONG, converse, in_namespace};

#[test]
fn is_what_the_contract_says() {
    if !can_make_labs("is_what_the_contract_says", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    for (node, addresses, routes) in [
        ("host", &["br0 10.40.0.1/24", "up0 203.0.113.2/24"][..], "default via 203.0.113.1 dev up0"),
        ("c1", &["eth0 10.40.0.2/24"], "default via 10.40.0.1 dev eth0"),
        ("c2", &["eth0 10.40.0.3/24"], "default via 10.40.0.1 dev eth0"),
        ("inet", &["eth0 203.0.113.1/24", "lo 198.51.100.10/32"], "203.0.113.0/24 dev eth0"),
    ] {
        let shown = in_namespace(&lab, node, &["ip", "-o", "-4", "address"]).good().stdout;
        for address in addresses {
            let (device, address) = address.split_once(' ').unwrap();
            let found = shown.lines().any(|line| line.contains(device) && line.contains(&format!("inet {address} ")));
            assert!(found, "{node} has {device} {address}:\n{shown}");
        }
        let shown = in_namespace(&lab, node, &["ip", "route"]).good().stdout;
        assert!(shown.contains(routes), "{node}: {shown}");
        assert!(node != "inet" || !shown.contains("10.40"), "no route back: {shown}");
        assert_eq!(lab.exec(node, &["cat", "/proc/sys/kernel/hostname"]).good().stdout.trim(), node);
        assert!(lab.exec(node, &["cat", "/proc/1/cmdline"]).good().stdout.contains("lab-init"), "own PID 1, own /proc");
    }
    let ports = in_namespace(&lab, "host", &["ip", "-o", "link", "show", "master", "br0"]).good().stdout;
    assert!(ports.contains("c1-h") && ports.contains("c2-h"), "{ports}");
    assert!(ports.contains(&format!("alias netobs:{}", lab.name)), "marked as the lab's: {ports}");
    let forward = in_namespace(&lab, "host", &["cat", "/proc/sys/net/ipv4/ip_forward"]).good().stdout;
    assert_eq!(forward.trim(), "1");
    if Path::new("/etc/resolv.conf").exists() {
        let resolver = lab.exec("c2", &["cat", "/etc/resolv.conf"]).good().stdout;
        assert!(resolver.starts_with("# c2, in lab"), "{resolver}");
        assert!(!fs::read_to_string("/etc/resolv.conf").unwrap().contains("in lab"), "the machine's is another");
    }
}

#[test]
fn loses_no_first_packet() {
    if !can_make_labs("loses_no_first_packet", &["ip", "ping"]) {
        return;
    }
    let routes: [(&str, &[&str]); 5] = [
        ("c1", &["10.40.0.3"]),
        ("c1", &["198.51.100.10"]),
        ("c2", &["10.40.0.1"]),
        ("host", &["203.0.113.1"]),
        // Made from c2's IPv4 address.
        ("c1", &["-6", "fe80::42:aff:fe28:3%eth0"]),
    ];
    let lab = Lab::unbuilt();
    let has_ipv6 = Path::new("/proc/net/if_inet6").exists();
    let start = Instant::now();
    for round in 0..20 {
        let (from, to) = routes[round % routes.len()];
        if to.len() > 1 && !has_ipv6 {
            continue;
        }
        lab.build().good();
        in_namespace(&lab, from, &[&["ping", "-c1", "-W2"], to].concat()).good();
        lab.remove().good();
        assert_eq!(lab.remains(), [""; 0]);
        if start.elapsed() > 3 * LONG && round >= routes.len() {
            break;
        }
    }
}

#[test]
fn reaches_the_world_and_is_reached_by_its_published_port() {
    if !can_make_labs("reaches_the_world_and_is_reached_by_its_published_port", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    in_namespace(&lab, "c2", &["ping", "-c1", "-W5", "198.51.100.10"]).good();
    let get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = converse(&lab, "inet", "203.0.113.2:8080", get).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("Hello from c1") && answer.contains("You are 203.0.113.1:"), "{answer}");
    let answer = converse(&lab, "c2", "10.40.0.2:80", get).unwrap();
    assert!(answer.contains("You are 10.40.0.3:"), "no NAT on the bridge: {answer}");

    let head = converse(&lab, "c2", "10.40.0.2:80", b"HEAD / HTTP/1.0\n\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    let odd = converse(&lab, "c2", "10.40.0.2:80", b"\x16\x03\x01\r\n\r\n").unwrap();
    assert!(odd.starts_with("HTTP/1.1 400"), "{odd}");
    // Neither a silent client nor an endless one keeps others waiting.
    let silent = {
        let netns = Netns::open(&lab.netns("c2")).unwrap();
        in_netns(&netns, || TcpStream::connect("10.40.0.2:80").unwrap()).unwrap()
    };
    let _ = converse(&lab, "c2", "10.40.0.2:80", &[b'a'; 100_000]);
    assert!(converse(&lab, "c2", "10.40.0.2:80", get).unwrap().contains("Hello"));
    drop(silent);
}
