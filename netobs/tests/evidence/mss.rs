//! The segment size of a SYN: clamped on the way, or too large for it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use netobs::netns::{Netns, in_netns};
use serde_json::json;

use super::common::{Lab, can_make_labs, run, skip, takes_too_long};
use super::records::Traced;
use super::tracer::{PATIENCE, Tracer};
use super::{at, told, within};

/// One request from the world to the published port.
fn traced_get(lab: &Lab) -> Traced {
    let tracer = Tracer::attached(&["tcp[tcpflags] & tcp-syn != 0"]);
    let address: SocketAddr = "203.0.113.2:8080".parse().unwrap();
    let talk = || {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new())
    };
    in_netns(&Netns::open(&lab.netns("inet")).unwrap(), talk).unwrap().expect("an answer");
    tracer.interrupt()
}

#[test]
fn clamped_by_a_rule() {
    let test = "clamped_by_a_rule";
    if takes_too_long(test) || !can_make_labs(test, &["ip"]) {
        return;
    }
    let lab = Lab::up();
    let rules = "add table ip clamp; add chain ip clamp forward { type filter hook forward priority 0; }; \
                 add rule ip clamp forward tcp flags syn tcp option maxseg size set 1360";
    let ruled = within(&lab, "host", &["nft", rules]);
    if ruled.status != 0 {
        return skip(test, &format!("nft cannot clamp here: {}", ruled.stderr.lines().next().unwrap_or_default()));
    }
    let traced = traced_get(&lab);
    let packets = told(&traced, &lab);
    assert!(packets.len() >= 2, "SYN and SYN+ACK: {packets:#?}");
    for (packet, raw) in packets {
        assert!(packet.info.as_deref().unwrap_or_default().ends_with(" mss 1460"), "{packet:#?}");
        let shown = [at(raw, "/mss/offered"), at(raw, "/mss/clamped_to"), at(raw, "/mss/fits")];
        assert_eq!(json!(shown), json!([1460, 1360, true]), "{raw:#}");
        // Forwarded in the host: it came in as it was.
        let hop = usize::try_from(at(raw, "/mss/hop").as_u64().expect("a hop")).unwrap();
        let host = Some(lab.netns("host"));
        let in_host: Vec<_> = packet.hops.iter().enumerate().filter(|(_, hop)| hop.netns == host).collect();
        assert!(in_host.iter().skip(1).any(|(index, _)| *index == hop), "{hop}: {packet:#?}");
    }
}

#[test]
fn too_large_for_a_device_on_the_way() {
    if takes_too_long("too_large_for_a_device_on_the_way")
        || !can_make_labs("too_large_for_a_device_on_the_way", &["ip"])
    {
        return;
    }
    let lab = Lab::up();
    run("ip", &["-n", &lab.netns("host"), "link", "set", "up0", "mtu", "1400"]).good();
    let traced = traced_get(&lab);
    let packets = told(&traced, &lab);
    let asking = packets.iter().find(|(packet, _)| packet.tuple.dport == Some(8080)).expect("a SYN");
    let (packet, raw) = asking;
    let smallest = json!({"bytes": 1400, "netns": lab.netns("host"), "device": "up0"});
    let expected = json!({
        "offered": 1460, "clamped_to": null, "hop": null, "fits": false, "would_fit": 1360, "smallest_mtu": smallest,
    });
    assert_eq!(at(raw, "/mss"), &expected, "{packet:#?}");
}
