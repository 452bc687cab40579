//! Packets that are too large for their way: what they are cut into names them, and they end as pieces.

use std::ffi::CString;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::thread;

use netobs::netns::{Netns, in_netns};
use serde_json::Value;

use super::common::{Lab, can_make_labs, skip, takes_too_long};
use super::records::{Packet, Traced};
use super::tracer::{Tracer, trace};
use super::{at, told, within};

/// Runs something on a thread in a node's network namespace.
#[track_caller]
fn inside<T: Send + 'static>(lab: &Lab, node: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    in_netns(&Netns::open(&lab.netns(node)).unwrap(), work).unwrap()
}

/// The packets that were cut from another one, with that one.
fn pieces<'t>(traced: &'t Traced, lab: &Lab, relation: &str) -> Vec<(&'t Packet, &'t Packet)> {
    let packets = traced.of(lab);
    let is_piece = |packet: &&&Packet| packet.relation.as_deref() == Some(relation);
    let whole = |piece: &Packet| {
        let parent = packets.iter().find(|packet| Some(&packet.id) == piece.parent.as_ref());
        *parent.unwrap_or_else(|| panic!("no such parent: {piece:#?}"))
    };
    packets.iter().filter(is_piece).map(|piece| (*piece, whole(piece))).collect()
}

/// Into how many pieces a packet says that it was cut.
fn count(traced: &Traced, lab: &Lab, id: &str) -> Value {
    let packets = told(traced, lab);
    let (_, raw) = packets.iter().find(|(packet, _)| packet.id == id).expect("the packet");
    at(raw, "/pieces").clone()
}

/// A router with a smaller device behind it cuts what may be cut; the pieces have another source, since it does NAT.
#[test]
fn fragments_made_by_a_router() {
    if !can_make_labs("fragments_made_by_a_router", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    within(&lab, "c1", &["ping", "-c1", "-W5", "198.51.100.10"]).good();
    within(&lab, "host", &["ip", "link", "set", "up0", "mtu", "1000"]).good();
    within(&lab, "inet", &["ip", "link", "set", "eth0", "mtu", "1000"]).good();
    let ping =
        ["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "-W5", "-M", "dont", "-s", "1400", "198.51.100.10"];
    let traced = trace("icmp and dst host 198.51.100.10", &ping);
    traced.nothing_lost();
    let pieces = pieces(&traced, &lab, "fragment");
    let [(first, whole), (second, same)] = pieces[..] else { panic!("not two fragments: {:#?}", traced.of(&lab)) };
    assert_eq!(whole.id, same.id, "{pieces:#?}");
    assert_eq!(whole.ends(), ("10.40.0.2", "198.51.100.10"));
    assert_eq!((whole.outcome.as_str(), count(&traced, &lab, &whole.id)), ("cloned-away", 2.into()), "{whole:#?}");
    for piece in [first, second] {
        assert_eq!(piece.ends(), ("203.0.113.2", "198.51.100.10"), "{piece:#?}");
        assert_eq!(piece.path(&lab), ["host/up0", "inet/eth0"], "{piece:#?}");
        assert!(piece.drop.is_none(), "{piece:#?}");
    }
    assert!(first.length <= 1014 && second.length < first.length, "{pieces:#?}");
}

/// A datagram of 4000 bytes over an MTU of 1500. The first piece is made of the packet itself.
#[test]
fn fragments_of_an_own_datagram() {
    if !can_make_labs("fragments_of_an_own_datagram", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    within(&lab, "host", &["ping", "-c1", "-W5", "10.40.0.2"]).good();
    let tracer = Tracer::attached(&["udp and host 10.40.0.2"]);
    let receiver = inside(&lab, "c1", || UdpSocket::bind("10.40.0.2:4001").unwrap());
    inside(&lab, "host", || UdpSocket::bind("10.40.0.1:4000").unwrap().send_to(&[7; 4000], "10.40.0.2:4001").unwrap());
    let mut bytes = [0; 5000];
    assert_eq!(receiver.recv(&mut bytes).unwrap(), 4000);
    let traced = tracer.interrupt();
    traced.nothing_lost();
    let pieces = pieces(&traced, &lab, "fragment");
    let sees_output = traced.summary.probes.iter().any(|probe| probe.name == "nf_output" && probe.kind == "netfilter");
    if !sees_output {
        assert!(pieces.is_empty(), "{pieces:#?}");
        return skip("fragments_of_an_own_datagram", "no hook of this kernel sees a datagram before it is cut");
    }
    let wholes: std::collections::HashSet<_> = pieces.iter().map(|(_, whole)| &whole.id).collect();
    assert_eq!((pieces.len(), wholes.len()), (3, 1), "{:#?}", traced.of(&lab));
    let (_, whole) = pieces[0];
    assert_eq!((whole.length, whole.tuple.dport), (4028, Some(4001)), "{whole:#?}");
    assert_eq!((whole.outcome.as_str(), count(&traced, &lab, &whole.id)), ("cloned-away", 3.into()), "{whole:#?}");
    for (piece, _) in pieces {
        assert!(piece.drop.is_none(), "{piece:#?}");
        assert_eq!(piece.path(&lab), ["host/br0", "host/c1-h", "c1/eth0"], "{piece:#?}");
    }
}

/// Pieces that nobody saw whole are nobody's.
#[test]
fn fragments_from_elsewhere_have_no_parent() {
    if takes_too_long("fragments_from_elsewhere_have_no_parent")
        || !can_make_labs("fragments_from_elsewhere_have_no_parent", &["ip", "ping"])
    {
        return;
    }
    let lab = Lab::up();
    within(&lab, "c1", &["ping", "-c1", "-W5", "10.40.0.3"]).good();
    within(&lab, "host", &["sysctl", "-w", "net.bridge.bridge-nf-call-iptables=0"]);
    let ping = ["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "-W5", "-s", "3000", "10.40.0.3"];
    let traced = trace("icmp and dst host 10.40.0.3", &ping);
    traced.nothing_lost();
    let sent: Vec<_> = traced.of(&lab).into_iter().filter(|packet| !packet.hops.is_empty()).collect();
    assert_eq!(sent.len(), 3, "{sent:#?}");
    for packet in sent {
        assert_eq!((&packet.parent, packet.outcome.as_str()), (&None, "delivered"), "{packet:#?}");
    }
}

/// `ETHTOOL_STSO` of `<linux/ethtool.h>`: whether the device cuts TCP's packets by itself.
fn leave_segmentation_to_the_stack(device: &str) {
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    let mut value = Value { command: 0x1f, data: 0 };
    // SAFETY: all zeroes is a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = CString::new(device).unwrap();
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes_with_nul()) {
        *to = (*from).cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // SAFETY: the request and what it points to live until the call returns.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn segments_that_the_device_cannot_make() {
    if !can_make_labs("segments_that_the_device_cannot_make", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    within(&lab, "c1", &["ping", "-c1", "-W5", "10.40.0.3"]).good();
    inside(&lab, "c1", || leave_segmentation_to_the_stack("eth0"));
    let listener = inside(&lab, "c2", || TcpListener::bind("10.40.0.3:4002").unwrap());
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut bytes).unwrap()
    });
    let tracer = Tracer::attached(&["tcp dst port 4002"]);
    inside(&lab, "c1", || TcpStream::connect("10.40.0.3:4002").unwrap().write_all(&[7; 14_000]).unwrap());
    assert_eq!(reader.join().unwrap(), 14_000);
    let traced = tracer.interrupt();
    traced.nothing_lost();
    let pieces = pieces(&traced, &lab, "segment");
    assert!(pieces.len() >= 2, "{:#?}", traced.of(&lab));
    for (piece, whole) in &pieces {
        assert!(whole.length > 1514 && piece.length <= 1514, "{whole:#?} {piece:#?}");
        assert_eq!(
            (whole.outcome.as_str(), whole.path(&lab)),
            ("cloned-away", vec!["c1/eth0".to_owned()]),
            "{whole:#?}"
        );
        assert_eq!(piece.path(&lab).last().map(String::as_str), Some("c2/eth0"), "{piece:#?}");
        let own: Vec<_> = pieces.iter().filter(|(_, other)| other.id == whole.id).collect();
        assert_eq!(count(&traced, &lab, &whole.id), Value::from(own.len()));
        // Nothing is missing and nothing twice: headers are 66 bytes each, 14 + 20 + 32.
        let payload: u32 = own.iter().map(|(piece, _)| piece.length - 66).sum();
        assert_eq!(payload, whole.length - 66, "{own:#?}");
    }
}
