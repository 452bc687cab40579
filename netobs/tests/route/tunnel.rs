//! A packet is one packet before it is wrapped up, on the wire, and unwrapped.

use serde_json::json;

use super::common::{Lab, can_make_labs, run, skip};
use super::tracer::trace;
use super::{at, hops, told};

#[test]
fn through_vxlan() {
    let test = "through_vxlan";
    if !can_make_labs(test, &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    // Port 8472 is Linux's own; the ways below it are IPv4 and IPv6.
    for (port, ends) in [("4789", ["10.40.0.2", "10.40.0.3"]), ("8472", ["fd40::2", "fd40::3"])] {
        for (node, own, remote) in [("c1", 0, 1), ("c2", 1, 0)] {
            let netns = lab.netns(node);
            if port == "8472" {
                let address = format!("{}/64", ends[own]);
                run("ip", &["-n", &netns, "link", "del", "vx0"]).good();
                run("ip", &["-n", &netns, "address", "add", &address, "dev", "eth0", "nodad"]).good();
            }
            let add = ["-n", &netns, "link", "add", "vx0", "type", "vxlan", "id", "42"];
            let ways = ["remote", ends[remote], "local", ends[own], "dstport", port, "dev", "eth0"];
            let made = run("ip", &[&add[..], &ways].concat());
            if made.status != 0 {
                return skip(test, &format!("no vxlan here: {}", made.stderr.trim()));
            }
            run("ip", &["-n", &netns, "address", "add", &format!("10.9.0.{}/24", own + 1), "dev", "vx0"]).good();
            run("ip", &["-n", &netns, "link", "set", "vx0", "up"]).good();
        }
        let traced = trace("icmp", &["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "-W2", "10.9.0.2"]);
        let packets = told(&traced, &lab);
        let inner: Vec<_> = packets.iter().filter(|(packet, _)| packet.ends() == ("10.9.0.1", "10.9.0.2")).collect();
        let [(packet, raw)] = inner[..] else { panic!("not one echo request: {packets:#?}") };
        assert_eq!(packet.outcome, "delivered", "{packet:#?}");
        let path = ["c1/vx0", "c1/eth0", "host/c1-h", "host/c2-h", "c2/eth0", "c2/vx0"];
        assert_eq!(packet.path(&lab), path, "{packet:#?}");
        assert!(packet.nat.is_empty(), "{packet:#?}");
        let tuple = json!({"src": "10.9.0.1", "dst": "10.9.0.2", "sport": null, "dport": null});
        for hop in hops(raw) {
            // Of a function's call only the outer addresses are recorded.
            if !at(hop, "/hook").as_str().unwrap().starts_with("net") {
                continue;
            }
            let is_wrapped = at(hop, "/device") != "vx0";
            let (shown, other) = if is_wrapped { ("/inner", "/tuple") } else { ("/tuple", "/inner") };
            assert_eq!(at(hop, shown), &tuple, "{hop:#}");
            let around = if is_wrapped { json!(ends) } else { json!([null, null]) };
            assert_eq!(json!([at(hop, &format!("{other}/src")), at(hop, &format!("{other}/dst"))]), around, "{hop:#}");
        }
    }
}
