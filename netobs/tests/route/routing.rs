//! The route of each packet, and what the check of its sender found.

use serde_json::{Value, json};

use super::common::{Answer, Lab, can_make_labs, run, takes_too_long};
use super::neighbour::mac;
use super::records::{Packet, Traced};
use super::tracer::trace;
use super::{at, hops, told, within};

/// The decisions in one node: what was looked for, whether for the packet's sender, and what was found.
fn decisions(packet: &Value, lab: &Lab, node: &str) -> Vec<Value> {
    let netns = Value::from(lab.netns(node));
    let fields = ["destination", "source_check", "table", "type", "device", "gateway", "error"];
    let told = |hop: &Value| fields.iter().map(|field| at(hop, &format!("/route/{field}")).clone()).collect();
    hops(packet).iter().filter(|hop| !at(hop, "/route").is_null() && at(hop, "/netns") == &netns).map(told).collect()
}

/// The only packet between two addresses.
#[track_caller]
fn only<'t>(traced: &'t Traced, lab: &Lab, src: &str, dst: &str) -> (&'t Packet, &'t Value) {
    let packets = told(traced, lab);
    let found: Vec<_> = packets.iter().filter(|(packet, _)| packet.ends() == (src, dst)).copied().collect();
    let [one] = found[..] else { panic!("not one packet from {src} to {dst}: {packets:#?}") };
    one
}

fn host(lab: &Lab, arguments: &[&str]) -> Answer {
    run("ip", &[&["-n", &lab.netns("host")], arguments].concat())
}

fn ping(lab: &Lab, to: &str) -> Traced {
    let traced = trace("icmp or icmp6", &["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "-W1", to]);
    // Every event is accounted for, those of look-ups too. Others on the machine may make programs miss some.
    assert_eq!(traced.summary.events, traced.summary.decoded + traced.summary.lost.get("ring").unwrap());
    traced
}

const OUTSIDE: &str = "198.51.100.10";

#[test]
fn forwarded_and_delivered() {
    if !can_make_labs("forwarded_and_delivered", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let traced = ping(&lab, OUTSIDE);
    let (_, request) = only(&traced, &lab, "10.40.0.2", OUTSIDE);
    let forwarded = json!([OUTSIDE, false, 254, "unicast", "up0", "203.0.113.1", null]);
    assert_eq!(decisions(request, &lab, "host"), [forwarded], "{request:#}");
    let delivered = json!([OUTSIDE, false, 255, "local", "lo", null, null]);
    assert_eq!(decisions(request, &lab, "inet"), [delivered], "{request:#}");
    // Between received and forwarded, and in the packet's own words.
    let hooks: Vec<_> = hops(request).iter().map(|hop| at(hop, "/hook").as_str().unwrap_or_default()).collect();
    let route = hooks.iter().position(|hook| *hook == "fib_table_lookup").expect("a route");
    assert!(hooks[..route].contains(&"netif_receive_skb") && !hooks[..route].contains(&"nf_forward"), "{hooks:?}");
    assert_eq!(at(request, &format!("/hops/{route}/tuple/dst")), OUTSIDE);
    // The reply comes to the masqueraded address and is routed to where NAT sends it.
    let (_, reply) = only(&traced, &lab, OUTSIDE, "203.0.113.2");
    let back = json!(["10.40.0.2", false, 254, "unicast", "br0", null, null]);
    assert_eq!(decisions(reply, &lab, "host"), [back], "{reply:#}");
    let end = json!(["10.40.0.2", false, 255, "local", "eth0", null, null]);
    assert_eq!(decisions(reply, &lab, "c1"), [end], "{reply:#}");
}

#[test]
fn another_table_by_a_rule() {
    if takes_too_long("another_table_by_a_rule") || !can_make_labs("another_table_by_a_rule", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    host(&lab, &["route", "add", OUTSIDE, "via", "203.0.113.1", "dev", "up0", "table", "4711"]).good();
    host(&lab, &["rule", "add", "from", "10.40.0.2", "lookup", "4711"]).good();
    // Asked before, and without a route.
    host(&lab, &["rule", "add", "from", "10.40.0.2", "lookup", "4710", "priority", "10"]).good();
    let traced = ping(&lab, OUTSIDE);
    let (_, request) = only(&traced, &lab, "10.40.0.2", OUTSIDE);
    let own: Vec<_> = decisions(request, &lab, "host").into_iter().filter(|told| told[1] == false).collect();
    assert_eq!(own, [json!([OUTSIDE, false, 4711, "unicast", "up0", "203.0.113.1", null])], "{request:#}");
}

#[test]
fn a_route_that_refuses() {
    if !can_make_labs("a_route_that_refuses", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let refusals = [("blackhole", "EINVAL"), ("unreachable", "EHOSTUNREACH"), ("prohibit", "EACCES")];
    for (number, (kind, error)) in refusals.into_iter().enumerate() {
        let to = format!("192.0.2.{}", number + 1);
        host(&lab, &["route", "add", kind, &to]).good();
        let traced = ping(&lab, &to);
        let (packet, request) = only(&traced, &lab, "10.40.0.2", &to);
        assert_eq!(packet.outcome, "dropped", "{packet:#?}");
        let told = decisions(request, &lab, "host");
        assert_eq!(told, [json!([to, false, 254, kind, null, null, error])], "{request:#}");
    }
}

#[test]
fn no_route_in_any_table() {
    if takes_too_long("no_route_in_any_table") || !can_make_labs("no_route_in_any_table", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    host(&lab, &["route", "del", "default"]);
    // With a rule the local table is asked for itself, and misses, too.
    for rules in [false, true] {
        if rules {
            host(&lab, &["rule", "add", "from", "10.40.0.9", "lookup", "4711"]).good();
        }
        let traced = ping(&lab, "192.0.2.1");
        let (packet, request) = only(&traced, &lab, "10.40.0.2", "192.0.2.1");
        assert_eq!(packet.outcome, "dropped", "{packet:#?}");
        let none = json!(["192.0.2.1", false, null, null, null, null, "ENETUNREACH"]);
        assert_eq!(decisions(request, &lab, "host"), [none], "{request:#}");
    }
}

#[test]
fn the_check_of_a_sender() {
    if !can_make_labs("the_check_of_a_sender", &["ip", "ping", "sysctl"]) {
        return;
    }
    let lab = Lab::up();
    for device in ["all", "br0"] {
        within(&lab, "host", &["sysctl", "-qw", &format!("net.ipv4.conf.{device}.rp_filter=1")]).good();
    }
    let traced = ping(&lab, OUTSIDE);
    let (_, request) = only(&traced, &lab, "10.40.0.2", OUTSIDE);
    let check = json!(["10.40.0.2", true, 254, "unicast", "br0", null, null]);
    assert!(decisions(request, &lab, "host").contains(&check), "{request:#}");
    // The way back to c1 leads elsewhere now. So it gets no answer either when it asks for its gateway again.
    let gateway = ["10.40.0.1", "lladdr", &mac(&lab, "host", "br0"), "nud", "permanent", "dev", "eth0"];
    run("ip", &[&["-n", &lab.netns("c1"), "neigh", "replace"], &gateway[..]].concat()).good();
    host(&lab, &["route", "add", "10.40.0.2/32", "via", "203.0.113.1", "dev", "up0"]).good();
    let traced = ping(&lab, OUTSIDE);
    let (packet, request) = only(&traced, &lab, "10.40.0.2", OUTSIDE);
    let check = json!(["10.40.0.2", true, 254, "unicast", "up0", "203.0.113.1", null]);
    assert_eq!(decisions(request, &lab, "host").last(), Some(&check), "{request:#}");
    assert_eq!(packet.outcome, "dropped", "{packet:#?}");
}

#[test]
fn in_ipv6() {
    if !can_make_labs("in_ipv6", &["ip", "ping", "sysctl"]) {
        return;
    }
    let lab = Lab::up();
    for (node, device, address) in
        [("c1", "eth0", "fd40::2"), ("host", "br0", "fd40::1"), ("host", "up0", "fd41::2"), ("inet", "eth0", "fd41::1")]
    {
        let add = ["-n", &lab.netns(node), "address", "add", &format!("{address}/64"), "dev", device, "nodad"];
        run("ip", &add).good();
    }
    within(&lab, "host", &["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"]).good();
    run("ip", &["-n", &lab.netns("c1"), "-6", "route", "add", "default", "via", "fd40::1"]).good();
    run("ip", &["-n", &lab.netns("inet"), "-6", "route", "add", "default", "via", "fd41::2"]).good();
    host(&lab, &["-6", "route", "add", "fd42::/64", "via", "fd41::1"]).good();
    host(&lab, &["-6", "route", "add", "unreachable", "fd43::/64"]).good();
    run("ip", &["-n", &lab.netns("inet"), "address", "add", "fd42::9/128", "dev", "lo", "nodad"]).good();
    let traced = ping(&lab, "fd42::9");
    let (packet, request) = only(&traced, &lab, "fd40::2", "fd42::9");
    assert_eq!(packet.outcome, "delivered", "{packet:#?}");
    let forwarded = json!(["fd42::9", false, 254, "unicast", "up0", "fd41::1", null]);
    assert_eq!(decisions(request, &lab, "host"), [forwarded], "{request:#}");
    let [end] = &decisions(request, &lab, "inet")[..] else { panic!("{request:#}") };
    assert_eq!((&end[2], &end[3]), (&json!(255), &json!("local")), "{request:#}");
    for (to, kind, error) in [("fd43::1", Some("unreachable"), "EHOSTUNREACH"), ("fd44::1", None, "ENETUNREACH")] {
        let traced = ping(&lab, to);
        let (_, request) = only(&traced, &lab, "fd40::2", to);
        let [told] = &decisions(request, &lab, "host")[..] else { panic!("{request:#}") };
        assert_eq!((&told[3], &told[6]), (&json!(kind), &json!(error)), "{request:#}");
    }
}
