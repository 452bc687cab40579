//! ICMP errors that the kernel answers with.

use serde_json::json;

use super::common::{Lab, can_make_labs, run, skip};
use super::records::Traced;
use super::tracer::trace;
use super::{at, told};

/// Whether the hook was attached; says why the test cannot run if not.
fn is_seen(traced: &Traced, test: &str, hook: &str) -> bool {
    let probe = traced.summary.probes.iter().find(|probe| probe.name == hook).expect("the hook");
    if let Some(why_not) = &probe.why_not {
        skip(test, &format!("{hook}: {why_not}"));
    }
    probe.attached
}

#[test]
fn fragmentation_needed() {
    let test = "fragmentation_needed";
    if !can_make_labs(test, &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    run("ip", &["-n", &lab.netns("host"), "link", "set", "up0", "mtu", "1400"]).good();
    let ping = ["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "-W1", "-M", "do", "-s", "1440"];
    let traced = trace("icmp", &[&ping[..], &["198.51.100.10"]].concat());
    if !is_seen(&traced, test, "icmp_send") {
        return;
    }
    let packets = told(&traced, &lab);
    let (_, raw) =
        packets.iter().find(|(packet, _)| packet.ends() == ("10.40.0.2", "198.51.100.10")).expect("a request");
    let shown = ["proto", "type", "code", "netns"].map(|field| at(raw, &format!("/answered/{field}")));
    assert_eq!(json!(shown), json!(["icmp", 3, 4, lab.netns("host")]), "{raw:#}");
    let meaning = at(raw, "/answered/meaning").as_str().unwrap_or_default();
    assert!(meaning.starts_with("frag needed"), "{raw:#}");
    // Only the function is told the MTU.
    assert!([json!(null), json!(1400)].contains(at(raw, "/answered/mtu")), "{raw:#}");
    // What was answered is itself no packet with an answer.
    let others: Vec<_> = packets.iter().filter(|(packet, _)| packet.ends().1 == "10.40.0.2").collect();
    assert!(!others.is_empty() && others.iter().all(|(_, raw)| at(raw, "/answered").is_null()), "{others:#?}");
}

#[test]
fn no_route_in_ipv6() {
    let test = "no_route_in_ipv6";
    if !can_make_labs(test, &["ip", "ping", "sysctl"]) {
        return;
    }
    let lab = Lab::up();
    for (node, device, address) in [("c1", "eth0", "fd40::2/64"), ("host", "br0", "fd40::1/64")] {
        run("ip", &["-n", &lab.netns(node), "address", "add", address, "dev", device, "nodad"]).good();
    }
    super::within(&lab, "host", &["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"]).good();
    run("ip", &["-n", &lab.netns("c1"), "-6", "route", "add", "default", "via", "fd40::1"]).good();
    let traced = trace("icmp6", &["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "-W1", "fd44::1"]);
    if !is_seen(&traced, test, "icmp6_send") {
        return;
    }
    let packets = told(&traced, &lab);
    let (_, raw) = packets.iter().find(|(packet, _)| packet.ends() == ("fd40::2", "fd44::1")).expect("a request");
    let shown = ["proto", "type", "code", "meaning"].map(|field| at(raw, &format!("/answered/{field}")));
    assert_eq!(json!(shown), json!(["icmp6", 1, 0, "no route"]), "{raw:#}");
}
