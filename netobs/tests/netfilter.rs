//! What a trace shows of netfilter's five hooks, on rules that the test makes itself.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "common/mod.rs"]
mod common;
#[path = "common/records.rs"]
mod records;
#[path = "common/tracer.rs"]
mod tracer;

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use common::{Lab, can_make_labs, is_slow, run, skip};
use netobs::netns::{Netns, in_netns};
use records::{Packet, Traced};
use tracer::{PATIENCE, Tracer, at_most, command, trace};

const HOOKS: [&str; 5] = ["prerouting", "input", "forward", "output", "postrouting"];

/// Runs `nft` in a node's namespace.
#[track_caller]
fn nft(netns: &str, rules: &str) {
    run("ip", &["netns", "exec", netns, "nft", rules]).good();
}

/// Whether netfilter programs serve the hooks here, or only a kprobe.
fn has_links(traced: &Traced) -> bool {
    traced.summary.probes.iter().any(|probe| probe.name == "nf_forward" && probe.kind == "netfilter")
}

/// Whether it is one of netfilter's five, and not a function of its.
fn is_netfilter(hook: &str) -> bool {
    HOOKS.iter().any(|name| hook.strip_prefix("nf_") == Some(name))
}

/// The netfilter hooks a packet entered in a namespace.
fn entered<'p>(packet: &'p Packet, netns: &str) -> Vec<&'p str> {
    let inside = packet.hops.iter().filter(|hop| hop.netns.as_deref() == Some(netns));
    inside.map(|hop| hop.hook.as_str()).filter(|hook| is_netfilter(hook)).collect()
}

/// Gives the host and c1 addresses of IPv6 that can be used at once.
fn with_ipv6(lab: &Lab) {
    for (node, device, address) in [("host", "br0", "fd00:40::1/64"), ("c1", "eth0", "fd00:40::2/64")] {
        run("ip", &["-n", &lab.netns(node), "address", "add", address, "dev", device, "nodad"]).good();
    }
    let settled = || run("ip", &["netns", "exec", &lab.netns("c1"), "ping", "-c1", "-W1", "fd00:40::1"]).status == 0;
    let began = Instant::now();
    while !settled() {
        assert!(began.elapsed() < PATIENCE, "IPv6 does not come up");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_drop_names_the_hook_it_happened_in() {
    let test = "a_drop_names_the_hook_it_happened_in";
    if !can_make_labs(test, &["ip", "ping"]) {
        return;
    }
    if is_slow() {
        skip(test, "slow machine: IPv6 but for one of the five hooks");
    }
    let lab = Lab::up();
    with_ipv6(&lab);
    let host = lab.netns("host");
    for hook in HOOKS {
        for (family, echo, near, far) in [
            ("ip", "icmp type echo-request", "10.40.0.1", "198.51.100.10"),
            ("ip6", "icmpv6 type echo-request", "fd00:40::1", ""),
        ] {
            if is_slow() && family == "ip6" && hook != "input" {
                continue;
            }
            // Who sends, and to whom, so that the packet comes by that hook of the host.
            let (node, to) = match hook {
                "output" => ("host", if family == "ip" { "10.40.0.2" } else { "fd00:40::2" }),
                "forward" | "postrouting" if family == "ip" => ("c1", far),
                "forward" => continue,
                "postrouting" => ("host", "fd00:40::2"),
                _ => ("c1", near),
            };
            let chain = format!(
                "add table {family} fault; add chain {family} fault it {{ type filter hook {hook} priority 10; }}; \
                 add rule {family} fault it {echo} drop"
            );
            nft(&host, &chain);
            let ping = ["ip", "netns", "exec", &lab.netns(node), "ping", "-c1", "-W0.3", to];
            let traced = trace("icmp or icmp6", &ping);
            nft(&host, &format!("delete table {family} fault"));
            let packets = traced.of(&lab);
            let dropped = packets.iter().find(|packet| {
                packet.drop.as_ref().is_some_and(|drop| drop.reason.as_deref() == Some("NETFILTER_DROP"))
            });
            let Some(packet) = dropped else { panic!("{family} {hook}: nothing was dropped: {packets:#?}") };
            let drop = packet.drop.as_ref().unwrap();
            assert_eq!(drop.netns.as_ref(), Some(&host), "{packet:#?}");
            // A kprobe follows packets, and this one was made in the hook's own namespace and reached no device.
            let first_seen_at_its_end = node == "host" && !has_links(&traced);
            let expected = format!("nf_{hook}");
            if first_seen_at_its_end {
                assert_eq!(drop.hook, None, "{packet:#?}");
                continue;
            }
            assert_eq!(drop.hook.as_ref(), Some(&expected), "{family} {packet:#?}");
            let last = packet.hops.iter().rev().find(|hop| is_netfilter(&hop.hook)).unwrap();
            assert_eq!((&last.hook, last.verdict()), (&expected, Some("drop")), "{packet:#?}");
        }
    }
}

#[test]
fn a_packet_on_its_way_through_the_host_passes_three_hooks() {
    if !can_make_labs("a_packet_on_its_way_through_the_host_passes_three_hooks", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let host = lab.netns("host");
    let chain = |hook| format!("add chain inet look {hook} {{ type filter hook {hook} priority 0; }}");
    nft(&host, &format!("add table inet look; {}", HOOKS.map(chain).join("; ")));
    let traced = trace("icmp", &["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "198.51.100.10"]);
    traced.nothing_lost();
    let packets = traced.of(&lab);
    let [request, reply] = &packets[..] else { panic!("not two packets: {packets:#?}") };
    for packet in [request, reply] {
        assert_eq!(entered(packet, &host), ["nf_prerouting", "nf_forward", "nf_postrouting"], "{packet:#?}");
        let passed = packet.hops.iter().filter(|hop| is_netfilter(&hop.hook));
        assert!(passed.clone().all(|hop| hop.verdict() == Some("accept")), "{packet:#?}");
    }
    let forward = request.hops.iter().find(|hop| hop.hook == "nf_forward").unwrap();
    assert_eq!(forward.device.as_deref(), Some("br0"), "{request:#?}");
    assert_eq!(forward.netfilter.as_ref().unwrap().out.as_deref(), Some("up0"), "{request:#?}");
    let rewritten =
        |packet: &Packet| packet.nat.iter().map(|nat| (nat.kind.clone(), nat.hook.clone())).collect::<Vec<_>>();
    assert_eq!(rewritten(request), [("masquerade".to_owned(), Some("nf_postrouting".to_owned()))], "{request:#?}");
    assert_eq!(rewritten(reply), [("un-snat".to_owned(), Some("nf_prerouting".to_owned()))], "{reply:#?}");
    if has_links(&traced) {
        let postrouting = request.hops.iter().find(|hop| hop.hook == "nf_postrouting").unwrap();
        let after = postrouting.netfilter.as_ref().unwrap().after.as_ref().unwrap();
        assert_eq!(postrouting.tuple.src.as_deref(), Some("10.40.0.2"), "{request:#?}");
        assert_eq!(after.src.as_deref(), Some("203.0.113.2"), "{request:#?}");
    }
}

#[test]
fn traces_do_not_get_in_each_others_way() {
    if !can_make_labs("traces_do_not_get_in_each_others_way", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let tracers = [0; 3].map(|_| Tracer::attached(&["icmp"]));
    run("ip", &["netns", "exec", &lab.netns("c1"), "ping", "-c1", "198.51.100.10"]).good();
    for tracer in tracers {
        let traced = tracer.interrupt();
        let refused: Vec<_> = traced.summary.probes.iter().filter(|probe| !probe.attached).collect();
        assert!(refused.iter().all(|probe| !is_netfilter(&probe.name)), "{refused:#?}");
        let packets = traced.of(&lab);
        let request = packets.first().expect("the ping");
        let hooks = entered(request, &lab.netns("host"));
        assert!(hooks.contains(&"nf_prerouting") && hooks.contains(&"nf_postrouting"), "{request:#?}");
    }
}

/// A namespace that goes with its test.
struct Namespace(String);

impl Namespace {
    fn new(kind: &str) -> Self {
        let name = format!("t{}-{kind}", std::process::id());
        run("ip", &["netns", "add", &name]).good();
        run("ip", &["-n", &name, "link", "set", "lo", "up"]).good();
        Self(name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        run("ip", &["netns", "delete", &self.0]);
    }
}

#[test]
fn a_namespace_made_later_is_covered_too() {
    if !can_make_labs("a_namespace_made_later_is_covered_too", &["ip", "ping"]) {
        return;
    }
    let tracer = Tracer::attached(&["icmp"]);
    let late = Namespace::new("late");
    nft(&late.0, "add table ip look; add chain ip look in { type filter hook input priority 0; }");
    // Rules that come after their namespace are found within a second.
    thread::sleep(Duration::from_secs(1) + at_most(Duration::from_millis(500)).min(Duration::from_secs(3)));
    run("ip", &["netns", "exec", &late.0, "ping", "-c1", "-W1", "127.0.0.1"]).good();
    let traced = tracer.interrupt();
    let packets: Vec<_> = traced.packets.iter().filter(|packet| !entered(packet, &late.0).is_empty()).collect();
    let [request, reply] = &packets[..] else { panic!("{:#?}", traced.packets) };
    let all = if has_links(&traced) {
        vec!["nf_output", "nf_postrouting", "nf_prerouting", "nf_input"]
    } else {
        // Nothing is registered at the others.
        vec!["nf_input"]
    };
    assert_eq!(entered(request, &late.0), all, "{request:#?}");
    assert_eq!(entered(reply, &late.0), all, "{reply:#?}");
}

#[test]
fn a_trace_keeps_no_namespace_alive() {
    if !can_make_labs("a_trace_keeps_no_namespace_alive", &["ip", "ping"]) {
        return;
    }
    let (gone, left) = (Namespace::new("gone"), Namespace::new("left"));
    nft(&gone.0, "add table ip look; add chain ip look in { type filter hook input priority 0; }");
    run("ip", &["-n", &left.0, "link", "add", "end", "type", "veth", "peer", "name", "other", "netns", &gone.0]).good();
    let tracer = Tracer::attached_by(&mut command(&["icmp"]));
    run("ip", &["netns", "delete", &gone.0]).good();
    // The end of a veth goes with the namespace of the other.
    let began = Instant::now();
    while run("ip", &["-n", &left.0, "link", "show", "end"]).status == 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "its namespace lives on with the trace");
        thread::sleep(Duration::from_millis(50));
    }
    drop(tracer);
}

/// Tries to connect, from a node of a lab.
fn connect(lab: &Lab, node: &str, to: &str) {
    let netns = Netns::open(&lab.netns(node)).unwrap();
    let patience = at_most(Duration::from_millis(200));
    let _ = in_netns(&netns, || TcpStream::connect_timeout(&to.parse().unwrap(), patience));
}

/// A lab's drop of a connection from c1 to the world's port 80.
fn dropped_connection(lab: &Lab) -> Packet {
    let tracer = Tracer::attached(&["tcp port 80"]);
    connect(lab, "c1", "198.51.100.10:80");
    let traced = tracer.interrupt();
    let packets = traced.of(lab);
    let dropped = packets.iter().find(|packet| packet.drop.is_some());
    (*dropped.unwrap_or_else(|| panic!("nothing was dropped: {packets:#?}"))).clone()
}

/// The text and the place of a rule.
fn rule_of(packet: &Packet) -> (String, String) {
    let rule = packet.drop.as_ref().unwrap().rule.as_ref().unwrap_or_else(|| panic!("no rule: {packet:#?}"));
    let text = |field: &str| rule.get(field).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    (text("text"), format!("{} {} {}", text("family"), text("table"), text("chain")))
}

#[test]
fn the_rule_that_dropped_is_named_among_many() {
    if !can_make_labs("the_rule_that_dropped_is_named_among_many", &["ip", "iptables", "iptables-restore"]) {
        return;
    }
    let lab = Lab::up();
    let host = lab.netns("host");
    let others = |net| (0..100).map(move |n| format!("-A FORWARD -s 10.{net}.0.{n} -p tcp --dport 80 -j DROP\\n"));
    let the_one = "-A FORWARD -s 10.40.0.2 -p tcp --dport 80 -j DROP\\n".to_owned();
    let all: String = others(98).chain([the_one]).chain(others(99)).collect();
    let load = format!("printf '*filter\\n{all}COMMIT\\n' | iptables-restore --noflush");
    run("ip", &["netns", "exec", &host, "sh", "-c", &load]).good();
    let packet = dropped_connection(&lab);
    let (text, place) = rule_of(&packet);
    assert_eq!(text, "-A FORWARD -s 10.40.0.2/32 -p tcp -m tcp --dport 80 -j DROP", "{packet:#?}");
    assert_eq!(place, "ip filter FORWARD");
    run("ip", &["netns", "exec", &host, "iptables", "-F", "FORWARD"]).good();

    // Reached by a jump, decided by a set; the rule before it holds for others only.
    let rules = "add table inet walls; add set inet walls bad { type ipv4_addr; flags interval; elements = { 10.40.0.0/30 }; }; \
                 add chain inet walls judge; add chain inet walls forward { type filter hook forward priority 5; }; \
                 add rule inet walls forward tcp dport { 80, 443 } jump judge; \
                 add rule inet walls judge ip saddr 10.40.0.3 drop; \
                 add rule inet walls judge ip saddr @bad drop";
    nft(&host, rules);
    let packet = dropped_connection(&lab);
    let (text, place) = rule_of(&packet);
    assert_eq!((text.as_str(), place.as_str()), ("ip saddr @bad drop", "inet walls judge"), "{packet:#?}");
    assert_eq!(packet.drop.as_ref().unwrap().hook.as_deref(), Some("nf_forward"), "{packet:#?}");
}

#[test]
fn the_rule_that_rewrote_is_named() {
    if !can_make_labs("the_rule_that_rewrote_is_named", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let tracer = Tracer::attached(&["tcp"]);
    connect(&lab, "inet", "203.0.113.2:8080");
    let traced = tracer.interrupt();
    let ping = trace("icmp", &["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "198.51.100.10"]);
    for (traced, kind, part) in [(&traced, "dnat", "dnat to 10.40.0.2:80"), (&ping, "masquerade", "masquerade")] {
        let packets = traced.of(&lab);
        let first = packets.first().expect("the first packet");
        let [nat] = &first.nat[..] else { panic!("not one rewrite: {first:#?}") };
        assert_eq!(nat.kind, kind, "{first:#?}");
        let rule = nat.rule.as_ref().unwrap_or_else(|| panic!("no rule: {first:#?}"));
        assert!(rule.get("text").and_then(|text| text.as_str()).unwrap_or_default().contains(part), "{rule:#?}");
        assert_eq!(rule.get("table").and_then(|table| table.as_str()), Some("lab"), "{rule:#?}");
    }
}
