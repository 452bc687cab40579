//! A tunnel's packet shows the packet inside.

use serde_json::json;

use super::common::{Lab, can_make_labs, run, skip, takes_too_long};
use super::told;
use super::tracer::trace;

#[test]
fn outer_and_inner_addresses_on_one_packet() {
    let test = "outer_and_inner_addresses_on_one_packet";
    if takes_too_long(test) || !can_make_labs(test, &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    for (node, remote, inner) in [("c1", "10.40.0.3", "10.9.0.1/24"), ("c2", "10.40.0.2", "10.9.0.2/24")] {
        let netns = lab.netns(node);
        let add = ["-n", &netns, "link", "add", "vx0", "type", "vxlan", "id", "42", "remote", remote];
        let made = run("ip", &[&add[..], &["dstport", "4789", "dev", "eth0"]].concat());
        if made.status != 0 {
            return skip(test, &format!("no vxlan here: {}", made.stderr.trim()));
        }
        run("ip", &["-n", &netns, "address", "add", inner, "dev", "vx0"]).good();
        run("ip", &["-n", &netns, "link", "set", "vx0", "up"]).good();
    }
    let ping = ["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "-W2", "10.9.0.2"];
    let traced = trace("udp port 4789", &ping);
    let packets = told(&traced, &lab);
    let is_request = |info: &str| info.starts_with("vxlan vni 42, icmp 10.9.0.1 > 10.9.0.2");
    let (packet, raw) = packets
        .iter()
        .find(|(packet, _)| packet.info.as_deref().is_some_and(is_request))
        .unwrap_or_else(|| panic!("no echo request in a tunnel: {packets:#?}"));
    assert_eq!(packet.ends(), ("10.40.0.2", "10.40.0.3"), "{packet:#?}");
    let inner = json!({"src": "10.9.0.1", "dst": "10.9.0.2", "sport": null, "dport": null});
    let on_a_device = raw["hops"].as_array().unwrap().iter().find(|hop| hop["hook"] == "net_dev_queue").unwrap();
    assert_eq!(on_a_device["inner"], inner, "{raw:#}");
}
