//! Which way a bridge sends a frame, and why.

use serde_json::{Value, json};

use super::common::{Lab, can_make_labs, skip, takes_too_long};
use super::tracer::trace;
use super::{at, hops, told, within};

/// A lab whose neighbours know each other for good: nobody has to be asked.
fn acquainted() -> Lab {
    let lab = Lab::up();
    within(&lab, "c1", &["ping", "-c1", "-W5", "10.40.0.3"]).good();
    for (node, other, address) in [("c1", "c2", "10.40.0.3"), ("c2", "c1", "10.40.0.2")] {
        let mac = mac(&lab, other);
        let entry = ["ip", "neigh", "replace", address, "dev", "eth0", "nud", "permanent", "lladdr", &mac];
        within(&lab, node, &entry).good();
    }
    lab
}

/// The bridge does not learn where c2 is, whatever c2 sends of its own accord (MLD reports, questions for neighbours).
fn stays_unknown(lab: &Lab) {
    within(lab, "host", &["ip", "link", "set", "c2-h", "type", "bridge_slave", "learning", "off"]).good();
}

/// The link-layer address of a node.
fn mac(lab: &Lab, node: &str) -> String {
    within(lab, node, &["cat", "/sys/class/net/eth0/address"]).good().stdout.trim().to_owned()
}

/// What the bridge decided about the packets from `src` to `dst`, copies included, and who they are copies of.
#[track_caller]
fn decisions(lab: &Lab, filter: &str, ends: (&str, &str), command: &str) -> Vec<(bool, Value)> {
    let traced = trace(filter, &["sh", "-c", command]);
    traced.nothing_lost();
    let packets = told(&traced, lab).into_iter().filter(|(packet, _)| packet.ends() == ends);
    let decided = packets.flat_map(|(packet, raw)| {
        hops(raw).iter().map(|hop| at(hop, "/bridge")).filter(|bridge| !bridge.is_null()).map(|bridge| {
            let is_copy = packet.relation.as_deref() == Some("clone");
            (is_copy, bridge.clone())
        })
    });
    let mut decided: Vec<_> = decided.collect();
    decided.sort_by_key(|(is_copy, bridge)| (*is_copy, at(bridge, "/port").to_string()));
    decided
}

fn forwarded(port: &str, destination: &str, why: &str) -> Value {
    json!({ "name": "br0", "port": port, "destination": destination, "why": why })
}

const PING: (&str, &str) = ("10.40.0.2", "10.40.0.3");

/// A ping from c1, with another command before it, in the same breath.
fn ping(lab: &Lab, address: &str, before: &str) -> String {
    let (host, c1) = (lab.netns("host"), lab.netns("c1"));
    format!("ip netns exec {host} {before}; exec ip netns exec {c1} ping -c1 -W5 {address}")
}

const FORGET: &str = "ip link set br0 type bridge fdb_flush";

#[test]
fn an_address_that_was_learnt_leads_to_its_port() {
    if !can_make_labs("an_address_that_was_learnt_leads_to_its_port", &["ip", "ping", "cat"]) {
        return;
    }
    let lab = acquainted();
    let seen = decisions(&lab, "icmp", PING, &ping(&lab, "10.40.0.3", "true"));
    assert_eq!(seen, [(false, forwarded("c2-h", &mac(&lab, "c2"), "fdb"))]);
}

/// With two ports there is but one to flood to, as if it had been known: and the answer teaches the bridge at once.
#[test]
fn one_that_was_not_is_flooded() {
    if !can_make_labs("one_that_was_not_is_flooded", &["ip", "ping", "cat"]) {
        return;
    }
    let lab = acquainted();
    stays_unknown(&lab);
    let command = ping(&lab, "10.40.0.3", FORGET);
    let seen = decisions(&lab, "icmp", PING, &command);
    assert_eq!(seen, [(false, forwarded("c2-h", &mac(&lab, "c2"), "flood"))]);
    // The other way it has just been learnt.
    let answers = decisions(&lab, "icmp", ("10.40.0.3", "10.40.0.2"), &command);
    assert_eq!(answers, [(false, forwarded("c1-h", &mac(&lab, "c1"), "fdb"))]);
}

#[test]
fn every_copy_of_a_flooded_frame_says_so() {
    if takes_too_long("every_copy_of_a_flooded_frame_says_so")
        || !can_make_labs("every_copy_of_a_flooded_frame_says_so", &["ip", "ping", "cat"])
    {
        return;
    }
    let lab = acquainted();
    stays_unknown(&lab);
    within(&lab, "host", &["ip", "link", "add", "more", "type", "veth", "peer", "name", "end"]).good();
    within(&lab, "host", &["ip", "link", "set", "end", "up"]).good();
    within(&lab, "host", &["ip", "link", "set", "more", "master", "br0", "up"]).good();
    // Two come from the host itself: to a neighbour nobody has learnt, and to everybody.
    let c2 = mac(&lab, "c2");
    within(&lab, "host", &["ip", "neigh", "replace", "10.40.0.3", "dev", "br0", "lladdr", &c2]).good();
    let host = lab.netns("host");
    let command = format!(
        "ip netns exec {host} {FORGET}; ip netns exec {host} ping -c1 10.40.0.3; {}",
        ping(&lab, "10.40.0.3", FORGET)
    );
    for ends in [PING, ("10.40.0.1", "10.40.0.3")] {
        let mut seen = decisions(&lab, "icmp", ends, &command);
        seen.sort_by_key(|(_, bridge)| at(bridge, "/port").to_string());
        let ports: Vec<_> = seen.iter().map(|(_, bridge)| bridge).cloned().collect();
        let mut expected = vec![forwarded("c2-h", &c2, "flood"), forwarded("more", &c2, "flood")];
        if ends != PING {
            expected.insert(0, forwarded("c1-h", &c2, "flood"));
        }
        assert_eq!(ports, expected);
        assert_eq!(seen.iter().filter(|(is_copy, _)| !is_copy).count(), 1, "{seen:#?}");
    }
}

#[test]
fn what_is_for_everybody_is_flooded_and_goes_up() {
    if takes_too_long("what_is_for_everybody_is_flooded_and_goes_up")
        || !can_make_labs("what_is_for_everybody_is_flooded_and_goes_up", &["ip", "ping"])
    {
        return;
    }
    let lab = Lab::up();
    let c1 = lab.netns("c1");
    let asks = format!("ip netns exec {c1} ip neigh flush dev eth0; exec ip netns exec {c1} ping -c1 10.40.0.99");
    let traced = trace("arp dst host 10.40.0.99", &["sh", "-c", &format!("{asks} -W1; true")]);
    let everybody = json!("ff:ff:ff:ff:ff:ff");
    let bridges = told(&traced, &lab).into_iter().flat_map(|(_, raw)| hops(raw)).map(|hop| at(hop, "/bridge"));
    let seen: Vec<_> = bridges.filter(|bridge| !bridge.is_null()).collect();
    assert!(seen.iter().all(|bridge| *at(bridge, "/destination") == everybody), "{seen:#?}");
    assert!(seen.iter().all(|bridge| *at(bridge, "/why") == json!("flood")), "{seen:#?}");
    for port in [json!("c2-h"), Value::Null] {
        assert!(seen.iter().any(|bridge| *at(bridge, "/port") == port), "{port}: {seen:#?}");
    }
}

#[test]
fn what_is_for_the_host_goes_up() {
    if takes_too_long("what_is_for_the_host_goes_up")
        || !can_make_labs("what_is_for_the_host_goes_up", &["ip", "ping", "cat"])
    {
        return;
    }
    let lab = acquainted();
    let own = within(&lab, "host", &["cat", "/sys/class/net/br0/address"]).good().stdout;
    let seen = decisions(&lab, "icmp", ("10.40.0.2", "10.40.0.1"), &ping(&lab, "10.40.0.1", "true"));
    assert_eq!(seen, [(false, json!({ "name": "br0", "port": null, "destination": own.trim(), "why": "local" }))]);
}

/// Somebody who listens on the bridge gets the frame itself, and a copy goes to where its address is: no flood.
#[test]
fn a_copy_alone_is_no_flood() {
    if !can_make_labs("a_copy_alone_is_no_flood", &["ip", "ping", "cat"]) {
        return;
    }
    let lab = acquainted();
    within(&lab, "host", &["ip", "link", "set", "br0", "promisc", "on"]).good();
    let seen = decisions(&lab, "icmp", PING, &ping(&lab, "10.40.0.3", "true"));
    let c2 = mac(&lab, "c2");
    let up = json!({ "name": "br0", "port": null, "destination": c2, "why": null });
    assert_eq!(seen, [(false, up), (true, forwarded("c2-h", &c2, "fdb"))]);
}

#[test]
fn where_vlans_are_kept_apart_an_entry_proves_nothing() {
    if !can_make_labs("where_vlans_are_kept_apart_an_entry_proves_nothing", &["ip", "ping", "cat"]) {
        return;
    }
    let lab = acquainted();
    let set = within(&lab, "host", &["ip", "link", "set", "br0", "type", "bridge", "vlan_filtering", "1"]);
    if set.status != 0 {
        return skip("where_vlans_are_kept_apart_an_entry_proves_nothing", "the bridge knows no VLANs");
    }
    within(&lab, "c1", &["ping", "-c1", "-W5", "10.40.0.3"]).good();
    let seen = decisions(&lab, "icmp", PING, &ping(&lab, "10.40.0.3", "true"));
    let c2 = mac(&lab, "c2");
    assert_eq!(seen, [(false, json!({ "name": "br0", "port": "c2-h", "destination": c2, "why": null }))]);
    stays_unknown(&lab);
    let seen = decisions(&lab, "icmp", PING, &ping(&lab, "10.40.0.3", FORGET));
    assert_eq!(seen, [(false, forwarded("c2-h", &c2, "flood"))]);
}
