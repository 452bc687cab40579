//! ICMP errors say which packet they are about.

use super::common::{Lab, can_make_labs, run, takes_too_long};
use super::told;
use super::tracer::trace;

#[test]
fn frag_needed_names_the_mtu_and_the_packet() {
    if takes_too_long("frag_needed_names_the_mtu_and_the_packet")
        || !can_make_labs("frag_needed_names_the_mtu_and_the_packet", &["ip", "ping"])
    {
        return;
    }
    let lab = Lab::up();
    run("ip", &["-n", &lab.netns("host"), "link", "set", "up0", "mtu", "1400"]).good();
    let c1 = lab.netns("c1");
    let ping = ["ip", "netns", "exec", &c1, "ping", "-c1", "-W1", "-M", "do", "-s", "1472", "198.51.100.10"];
    let traced = trace("icmp", &ping);
    let mut packets = told(&traced, &lab);
    // The socket that got it keeps a copy.
    packets.retain(|(packet, _)| packet.parent.is_none());
    let errors: Vec<_> = packets
        .iter()
        .filter_map(|(packet, _)| packet.info.as_deref())
        .filter(|info| !info.starts_with("echo"))
        .collect();
    assert_eq!(errors, ["frag needed, mtu 1400, for 10.40.0.2 > 198.51.100.10"], "{packets:#?}");
}

#[test]
fn port_unreachable_names_the_port() {
    if takes_too_long("port_unreachable_names_the_port")
        || !can_make_labs("port_unreachable_names_the_port", &["ip", "bash"])
    {
        return;
    }
    let lab = Lab::up();
    let c1 = lab.netns("c1");
    let send = ["ip", "netns", "exec", &c1, "bash", "-c", "echo hello >/dev/udp/10.40.0.3/5353"];
    let traced = trace("icmp", &send);
    let packets = told(&traced, &lab);
    let [(error, _)] = &packets[..] else { panic!("not one ICMP message: {packets:#?}") };
    let info = error.info.as_deref().unwrap_or_default();
    assert!(info.starts_with("port unreachable, for 10.40.0.2:") && info.ends_with(" > 10.40.0.3:5353"), "{error:#?}");
}
