//! Who got a packet.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use netobs::netns::{Netns, in_netns};
use serde_json::{Value, json};

use super::common::{Lab, can_make_labs, takes_too_long};
use super::tracer::{PATIENCE, Tracer, trace};
use super::{at, told};

fn own_name() -> String {
    std::fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned()
}

fn inside<T: Send>(lab: &Lab, node: &str, work: impl FnOnce() -> T + Send) -> T {
    in_netns(&Netns::open(&lab.netns(node)).unwrap(), work).unwrap()
}

/// This very process is both ends: it listens in c2 and talks from c1.
#[test]
fn to_the_process_that_has_the_socket() {
    if takes_too_long("to_the_process_that_has_the_socket")
        || !can_make_labs("to_the_process_that_has_the_socket", &["ip"])
    {
        return;
    }
    let lab = Lab::up();
    let listener = inside(&lab, "c2", || TcpListener::bind("10.40.0.3:9000").unwrap());
    let bound = inside(&lab, "c2", || UdpSocket::bind("0.0.0.0:9001").unwrap());
    let tracer = Tracer::attached(&["port 9000 or port 9001"]);
    let server: SocketAddr = "10.40.0.3:9000".parse().unwrap();
    let mut client = inside(&lab, "c1", || TcpStream::connect_timeout(&server, PATIENCE).unwrap());
    let (mut accepted, _) = listener.accept().unwrap();
    client.write_all(b"hello").unwrap();
    accepted.read_exact(&mut [0; 5]).unwrap();
    let sender = inside(&lab, "c1", || UdpSocket::bind("10.40.0.2:9002").unwrap());
    sender.send_to(b"hello", "10.40.0.3:9001").unwrap();
    bound.recv(&mut [0; 5]).unwrap();
    let traced = tracer.interrupt();

    let packets = told(&traced, &lab);
    let delivered: Vec<_> = packets.iter().filter(|(packet, _)| packet.outcome == "delivered").collect();
    let me = std::process::id();
    let mut seen = Vec::new();
    for (packet, raw) in &delivered {
        let socket = at(raw, "/end/socket");
        let shown = [at(socket, "/process"), at(socket, "/pid"), at(socket, "/kernel")];
        assert_eq!(json!(shown), json!([own_name(), me, false]), "{packet:#?}{socket:#}");
        // One that was not accepted yet has no inode.
        assert!(at(socket, "/inode").is_u64() || at(socket, "/by_listener") == true, "{socket:#}");
        let dport = packet.tuple.dport.unwrap();
        assert_eq!(at(socket, "/port"), &json!(dport), "{packet:#?}{socket:#}");
        let node = if packet.tuple.dst.as_deref() == Some("10.40.0.3") { "c2" } else { "c1" };
        assert_eq!(at(socket, "/netns"), &json!(lab.netns(node)), "{packet:#?}{socket:#}");
        seen.push((packet.proto.clone(), dport, at(socket, "/address").clone()));
    }
    let has = |proto: &str, port: u16, address: &str| seen.contains(&(proto.to_owned(), port, Value::from(address)));
    assert!(has("tcp", 9000, "10.40.0.3"), "{seen:?}");
    assert!(has("udp", 9001, "0.0.0.0"), "{seen:?}");
    assert!(has("tcp", client.local_addr().unwrap().port(), "10.40.0.2"), "the way back: {seen:?}");
}

/// The server closes first, and what is left of its connections is no socket of any process.
#[test]
fn to_a_connection_that_is_over() {
    if takes_too_long("to_a_connection_that_is_over") || !can_make_labs("to_a_connection_that_is_over", &["ip"]) {
        return;
    }
    let lab = Lab::up();
    let listener = inside(&lab, "c2", || TcpListener::bind("10.40.0.3:9000").unwrap());
    let tracer = Tracer::attached(&["tcp port 9000"]);
    let server: SocketAddr = "10.40.0.3:9000".parse().unwrap();
    let mut client = inside(&lab, "c1", || TcpStream::connect_timeout(&server, PATIENCE).unwrap());
    drop(listener.accept().unwrap());
    client.read_to_end(&mut Vec::new()).unwrap();
    drop(client);
    let traced = tracer.interrupt();
    let packets = told(&traced, &lab);
    let (packet, raw) = packets
        .iter()
        .rfind(|(packet, _)| packet.tuple.dport == Some(9000) && packet.outcome == "delivered")
        .expect("a delivery to the server");
    let socket = at(raw, "/end/socket");
    let shown = ["/process", "/pid", "/port", "/inode", "/by_listener"].map(|path| at(socket, path));
    assert_eq!(json!(shown), json!([own_name(), std::process::id(), 9000, null, true]), "{packet:#?}");
}

#[test]
fn a_ping_is_answered_by_the_kernel() {
    if takes_too_long("a_ping_is_answered_by_the_kernel")
        || !can_make_labs("a_ping_is_answered_by_the_kernel", &["ip", "ping"])
    {
        return;
    }
    let lab = Lab::up();
    let traced = trace("icmp", &["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "10.40.0.3"]);
    let packets = told(&traced, &lab);
    let request = packets.iter().find(|(packet, _)| packet.ends().0 == "10.40.0.2").expect("a request");
    let expected = json!({
        "proto": "icmp", "address": null, "port": null, "inode": null, "process": null, "pid": null,
        "by_listener": false,
        "netns": lab.netns("c2"), "kernel": true,
    });
    assert_eq!(at(request.1, "/end/socket"), &expected);
}

#[test]
fn a_dropped_packet_got_to_nobody() {
    if takes_too_long("a_dropped_packet_got_to_nobody")
        || !can_make_labs("a_dropped_packet_got_to_nobody", &["ip", "bash"])
    {
        return;
    }
    let lab = Lab::up();
    let send = ["ip", "netns", "exec", &lab.netns("c1"), "bash", "-c", "echo >/dev/udp/10.40.0.3/53"];
    let traced = trace("udp port 53", &send);
    let packets = told(&traced, &lab);
    let (_, raw) = packets.first().expect("a datagram");
    assert_eq!(at(raw, "/outcome"), "dropped");
    assert_eq!(raw.pointer("/end/socket"), Some(&Value::Null), "{raw:#}");
}
