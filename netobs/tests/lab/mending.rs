//! `lab up` on a lab that is up already: what differs is mended, and nothing else is touched.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::common::{Lab, can_make_labs, lab, run};
use crate::in_namespace;
use crate::topologies::status;

/// Everything that is wrong with a lab, node by node.
fn wrong(lab: &Lab) -> Vec<String> {
    let status = status(lab);
    let list = |value: &Value, field: &str| value.get(field).and_then(Value::as_array).unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let told = |node: &Value| {
        let name = node.get("node").map(text).unwrap();
        list(node, "missing").iter().map(|what| format!("{name}: {}", text(what))).collect::<Vec<_>>()
    };
    list(&status, "nodes").iter().flat_map(told).collect()
}

/// What is done to a node, and what is then said of it.
const DAMAGE: [(&str, &str, &str); 17] = [
    ("host", "ip link set c1-h nomaster", "host: c1-h is not a port of br0"),
    ("host", "ip link set c1-h mtu 1400", "host: c1-h has MTU 1400, not 1500"),
    ("host", "ip link set c1-h down", "host: c1-h is down"),
    ("host", "nft add rule ip lab prerouting counter", "host: nft table ip lab has `counter"),
    ("host", "sysctl -qw net.ipv4.ip_forward=0", "host: net.ipv4.ip_forward is 0, not 1"),
    ("host", "ip addr add 10.99.0.1/24 dev br0", "host: br0 has the address 10.99.0.1/24, which is in no topology"),
    (
        "host",
        "ip route add 10.98.0.0/16 dev br0",
        "host: there is a route 10.98.0.0/16 dev br0, which is in no topology",
    ),
    ("host", "ip link del c2-h", "host: c2-h is gone"),
    ("c2", "true", "c2: eth0 is gone"),
    ("inet", "ip addr del 198.51.100.10/32 dev lo", "inet: lo has not the address 198.51.100.10/32"),
    ("c1", "ip route replace default via 10.40.0.254", "c1: no route default via 10.40.0.1"),
    ("c1", "true", "c1: there is a route default via 10.40.0.254 dev eth0, which is in no topology"),
    ("c1", "ip link set eth0 address 02:00:00:00:00:99", "c1: eth0 has the link-layer address 02:00:00:00:00:99"),
    ("c1", "sysctl -qw net.ipv4.conf.all.rp_filter=1", "c1: net.ipv4.conf.all.rp_filter is 1, not 0"),
    ("host", "ip link add stranger type veth peer stranger2", ""),
    ("host", "ip addr add 10.97.0.1/24 dev stranger", ""),
    ("host", "ip link set stranger up", ""),
];

#[test]
fn mends_what_differs_and_leaves_the_rest_alone() {
    if !can_make_labs("mends_what_differs_and_leaves_the_rest_alone", &["ip", "ping", "sysctl"]) {
        return;
    }
    let own = Lab::up();
    let mut living = own.start("c1", &["sleep", "1000"]);
    for (node, command, _) in DAMAGE {
        let words: Vec<&str> = command.split(' ').collect();
        in_namespace(&own, node, &words);
    }
    let has_resolver = fs::exists("/etc/resolv.conf").unwrap();
    own.exec("c1", &["sh", "-c", "echo nameserver 192.0.2.1 > /etc/resolv.conf"]);
    run("ip", &["netns", "del", &own.netns("inet")]).good();
    let pid = |node: usize| status(&own)["nodes"][node]["pid"].as_i64().unwrap();
    let (c1, inet) = (pid(1), pid(3));
    let found = wrong(&own);
    for (_, command, told) in DAMAGE {
        assert!(found.iter().any(|line| line.starts_with(told)), "{command}: {told}\n{found:#?}");
    }
    assert_eq!(has_resolver, found.contains(&"c1: /etc/resolv.conf has been changed".to_owned()), "{found:#?}");
    assert!(found.iter().any(|line| line.starts_with("inet: /run/netns/")), "{found:#?}");

    let said = own.build().good().stdout;
    assert!(said.contains("whole again") && said.contains("mended: host: c1-h"), "{said}");
    assert_eq!(wrong(&own), [""; 0], "{said}");
    assert_eq!((pid(1), pid(3)), (c1, inet), "the nodes were not started anew");
    assert!(living.try_wait().unwrap().is_none(), "what runs in a node goes on");
    let theirs = in_namespace(&own, "host", &["ip", "-o", "addr", "show", "stranger"]).good().stdout;
    assert!(theirs.contains("10.97.0.1/24"), "what is not the lab's stays: {theirs}");
    for (from, to) in [("c1", "198.51.100.10"), ("c2", "10.40.0.2")] {
        in_namespace(&own, from, &["ping", "-c1", "-W5", to]).good();
    }
    assert!(own.build().good().stdout.contains("is up already"));
    own.remove().good();
    assert!(!living.wait().unwrap().success());
    assert_eq!(own.remains(), [""; 0]);
}

#[test]
fn starts_a_node_that_died_anew() {
    if !can_make_labs("starts_a_node_that_died_anew", &["ip", "ping"]) {
        return;
    }
    let own = Lab::up();
    let before = status(&own);
    let pid = before["nodes"][1]["pid"].as_i64().unwrap();
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
    crate::common::eventually("status tells", || status(&own)["state"] == "changed");
    own.exec("c1", &["true"]).bad(1, "is not running any more");
    let said = own.build().good().stdout;
    assert!(said.contains("mended: c1: started anew"), "{said}");
    let after = status(&own);
    assert_eq!(after["state"], "up", "{after:#}");
    assert_eq!(after["nodes"][2]["pid"], before["nodes"][2]["pid"], "the others are the same");
    in_namespace(&own, "inet", &["ping", "-c1", "-W5", "203.0.113.2"]).good();
    own.exec("c1", &["ping", "-c1", "-W5", "198.51.100.10"]).good();
    own.remove().good();
    assert_eq!(own.remains(), [""; 0]);
}

const BEFORE: &str = r#"
about = "Two containers."
[[nodes]]
name = "h"
bridges = [{ name = "br0", addresses = ["10.1.0.1/24"] }]
masquerade = [{ source = "10.1.0.0/24", except = "br0" }]
[[nodes]]
name = "a"
[[nodes]]
name = "b"
[[links]]
ends = [{ node = "h", device = "a-h", bridge = "br0" }, { node = "a", device = "eth0", addresses = ["10.1.0.2/24"] }]
[[links]]
ends = [{ node = "h", device = "b-h", bridge = "br0" }, { node = "b", device = "eth0", addresses = ["10.1.0.3/24"] }]
"#;

/// `b` is gone, `c` is new, `a` has another address, the bridge is another one, and there are no rules any more.
const AFTER: &str = r#"
about = "Two other containers."
[[nodes]]
name = "h"
bridges = [{ name = "br1", addresses = ["10.2.0.1/24"] }]
[[nodes]]
name = "a"
resolvers = ["10.2.0.1"]
routes = [{ via = "10.2.0.1" }]
[[nodes]]
name = "c"
[[links]]
ends = [{ node = "h", device = "a-h", bridge = "br1" }, { node = "a", device = "eth0", addresses = ["10.2.0.2/24"] }]
[[links]]
ends = [{ node = "c", device = "eth0", addresses = ["10.2.0.4/24"] }, { node = "h", device = "c-h", bridge = "br1" }]
"#;

#[test]
fn follows_a_file_that_was_changed() {
    if !can_make_labs("follows_a_file_that_was_changed", &["ip", "ping"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    let path = file.to_str().unwrap();
    let own = Lab::unbuilt();
    fs::write(&file, BEFORE).unwrap();
    own.build_from(path).good();
    let before = status(&own);
    let mut living = own.start("a", &["sleep", "1000"]);
    fs::write(&file, AFTER).unwrap();
    let told = lab(&["status"]).good().stdout;
    assert!(told.contains("own.toml has been changed since"), "{told}");
    own.build_from(path).good();
    let after = status(&own);
    assert_eq!(after["state"], "up", "{after:#}");
    assert_eq!(after["nodes"][1]["pid"], before["nodes"][1]["pid"]);
    assert!(living.try_wait().unwrap().is_none());
    let names: Vec<&str> =
        after["nodes"].as_array().unwrap().iter().map(|node| node["node"].as_str().unwrap()).collect();
    assert_eq!(names, ["h", "a", "c"]);
    own.exec("c", &["ping", "-c1", "-W5", "10.2.0.2"]).good();
    if fs::exists("/etc/resolv.conf").unwrap() {
        assert!(own.exec("a", &["cat", "/etc/resolv.conf"]).good().stdout.contains("nameserver 10.2.0.1"));
    }
    let links = in_namespace(&own, "h", &["ip", "-o", "link"]).good().stdout;
    assert!(!links.contains("br0") && !links.contains("b-h"), "{links}");
    assert!(!in_namespace(&own, "h", &["nft", "list", "ruleset"]).good().stdout.contains("table"));
    assert!(fs::metadata(format!("/run/netns/{}", own.netns("b"))).is_err());
    own.remove().good();
    living.wait().unwrap();
    assert_eq!(own.remains(), [""; 0]);
}
