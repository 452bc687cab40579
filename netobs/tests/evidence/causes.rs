//! The state behind a drop, for every kind of cause that a test can bring about.

use std::io;
use std::os::fd::AsRawFd;

use etherparse::{IpNumber, Ipv4Header, PacketBuilder};
use netobs::netlink::Socket;
use netobs::netns::{Netns, in_netns};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, send, socket};
use serde_json::{Value, json};

use super::common::{self, Lab, can_make_labs, run, takes_too_long};
use super::conntrack::Limit;
use super::records::Packet;
use super::tracer::{Tracer, trace};
use super::{at, told, within};

/// A drop as the tests look at it.
struct Dropped {
    reason: String,
    function: String,
    facts: String,
    evidence: Value,
}

/// Traces a command in a node and returns the lab's drops that somebody has to mend.
#[track_caller]
fn dropped(lab: &Lab, node: &str, filter: &str, command: &[&str]) -> Dropped {
    let traced = trace(filter, &[&["ip", "netns", "exec", &lab.netns(node)], command].concat());
    first_drop(&told(&traced, lab))
}

#[track_caller]
fn first_drop(packets: &[(&Packet, &Value)]) -> Dropped {
    let (_, raw) = packets
        .iter()
        .find(|(_, raw)| at(raw, "/drop").is_object() && at(raw, "/drop/fault") != &Value::Bool(false))
        .unwrap_or_else(|| panic!("no drop: {packets:#?}"));
    assert_eq!(at(raw, "/drop/evidence_missing"), &Value::Null, "{raw:#}");
    let text = |path| at(raw, path).as_str().unwrap_or_default().to_owned();
    let facts = at(raw, "/drop/facts").as_array().expect("facts");
    Dropped {
        reason: text("/drop/reason"),
        function: text("/drop/function"),
        facts: facts.iter().map(|fact| fact.as_str().unwrap_or_default()).collect::<Vec<_>>().join("; "),
        evidence: at(raw, "/drop/evidence").clone(),
    }
}

impl Dropped {
    /// Fails the test unless the facts contain these words.
    #[track_caller]
    fn says(&self, words: &str) -> &Self {
        let Self { reason, function, facts, .. } = self;
        assert!(facts.contains(words), "`{words}` is not in: {facts} ({reason} at {function})");
        self
    }

    /// Fails the test unless the evidence has these values.
    #[track_caller]
    fn shows(&self, expected: &Value) -> &Self {
        for (key, value) in expected.as_object().expect("an object") {
            assert_eq!(self.evidence.get(key), Some(value), "{key}: {:#}", self.evidence);
        }
        self
    }
}

fn set(lab: &Lab, node: &str, sysctl: &str) {
    within(lab, node, &["sysctl", "-q", "-w", sysctl]).good();
}

fn link(lab: &Lab, node: &str, change: &[&str]) {
    run("ip", &[&["-n", &lab.netns(node), "link", "set"], change].concat()).good();
}

const PING_WORLD: &[&str] = &["ping", "-c1", "-W1", "198.51.100.10"];

#[test]
fn forwarding_is_off() {
    if !can_make_labs("forwarding_is_off", &["ip", "ping", "sysctl"]) {
        return;
    }
    let lab = Lab::up();
    set(&lab, "host", "net.ipv4.ip_forward=0");
    let drop = dropped(&lab, "c1", "icmp", PING_WORLD);
    drop.says("net.ipv4.ip_forward is 0").shows(&json!({"kind": "no-way", "forwarding": 0, "no_route": null}));

    set(&lab, "host", "net.ipv4.ip_forward=1");
    set(&lab, "host", "net.ipv4.conf.br0.forwarding=0");
    let drop = dropped(&lab, "c1", "icmp", PING_WORLD);
    drop.says("net.ipv4.conf.br0.forwarding is 0").shows(&json!({"forwarding": 1, "device_forwarding": 0}));
}

#[test]
fn no_route_and_routes_that_forbid() {
    if takes_too_long("no_route_and_routes_that_forbid")
        || !can_make_labs("no_route_and_routes_that_forbid", &["ip", "ping"])
    {
        return;
    }
    let lab = Lab::up();
    let host = lab.netns("host");
    run("ip", &["-n", &host, "route", "del", "default"]).good();
    let drop = dropped(&lab, "c1", "icmp", PING_WORLD);
    drop.says("no route leads to 198.51.100.10").shows(&json!({"forwarding": 1, "no_route": "none", "route": null}));

    run("ip", &["-n", &host, "route", "add", "blackhole", "198.51.100.0/24"]).good();
    let drop = dropped(&lab, "c1", "icmp", PING_WORLD);
    drop.says("the route to 198.51.100.10 says blackhole").shows(&json!({"no_route": "blackhole"}));
}

#[test]
fn reverse_path() {
    if !can_make_labs("reverse_path", &["ip", "ping", "sysctl"]) {
        return;
    }
    let lab = Lab::up();
    let host = lab.netns("host");
    run("ip", &["-n", &host, "link", "add", "up1", "type", "veth", "peer", "eth1", "netns", &lab.netns("inet")]).good();
    link(&lab, "host", &["up1", "up"]);
    link(&lab, "inet", &["eth1", "up"]);
    run("ip", &["-n", &host, "route", "add", "198.51.100.0/24", "dev", "up1"]).good();
    set(&lab, "host", "net.ipv4.conf.all.rp_filter=1");
    set(&lab, "host", "net.ipv4.conf.up0.rp_filter=0");
    let drop = dropped(&lab, "inet", "icmp", &["ping", "-c1", "-W1", "-I", "198.51.100.10", "203.0.113.2"]);
    assert_eq!(drop.reason, "IP_RPFILTER", "at {}", drop.function);
    drop.says("rp_filter is 1 (strict) for up0: all 1, up0 0")
        .says("198.51.100.0/24 is reached by up1, not by up0, where this came in")
        .shows(&json!({"kind": "reverse-path", "all": 1, "configured": 0, "effective": 1, "source": "198.51.100.10"}));

    // A loose filter asks for any route at all.
    run("ip", &["-n", &host, "route", "del", "198.51.100.0/24"]).good();
    run("ip", &["-n", &host, "route", "del", "default"]).good();
    set(&lab, "host", "net.ipv4.conf.up0.rp_filter=2");
    let drop = dropped(&lab, "inet", "icmp", &["ping", "-c1", "-W1", "-I", "198.51.100.10", "203.0.113.2"]);
    drop.says("rp_filter is 2 (loose) for up0: all 1, up0 2")
        .says("no route leads back to 198.51.100.10")
        .shows(&json!({"effective": 2, "reverse": null}));
}

#[test]
fn too_large_for_the_way_out() {
    if takes_too_long("too_large_for_the_way_out") || !can_make_labs("too_large_for_the_way_out", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    link(&lab, "host", &["up0", "mtu", "1400"]);
    let large = ["ping", "-c1", "-W1", "-M", "do", "-s", "1472", "198.51.100.10"];
    let drop = dropped(&lab, "c1", "icmp[icmptype] = icmp-echo", &large);
    drop.says("the packet has 1500 bytes, not to be fragmented (DF)")
        .says("198.51.100.10 is reached by up0, whose MTU is 1400")
        .shows(&json!({
            "kind": "path-mtu", "length": 1500, "device": "up0", "device_mtu": 1400, "dont_fragment": true,
            "answered_with": "icmp frag needed",
        }));
}

#[test]
fn frag_needed_that_is_dropped_makes_a_black_hole() {
    if takes_too_long("frag_needed_that_is_dropped_makes_a_black_hole")
        || !can_make_labs("frag_needed_that_is_dropped_makes_a_black_hole", &["ip", "ping"])
    {
        return;
    }
    let lab = Lab::up();
    link(&lab, "host", &["up0", "mtu", "1400"]);
    let rules = "add table ip hole; add chain ip hole out { type filter hook output priority 0; }; \
                 add rule ip hole out icmp type destination-unreachable drop";
    within(&lab, "host", &["nft", rules]).good();
    let large = ["ping", "-c1", "-W1", "-M", "do", "-s", "1472", "198.51.100.10"];
    let drop = dropped(&lab, "c1", "icmp[icmptype] = icmp-unreach", &large);
    drop.says("10.40.0.2 never learns that 198.51.100.10 takes no packets over 1400 bytes").says("black hole");
}

#[test]
fn too_large_for_a_veth_and_for_a_bridge_port() {
    if !can_make_labs("too_large_for_a_veth_and_for_a_bridge_port", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let large = ["ping", "-c1", "-W1", "-s", "1472", "10.40.0.3"];
    for (port, netns) in [("c1-h", lab.netns("host")), ("c2-h", lab.netns("host"))] {
        link(&lab, "host", &[port, "mtu", "1400"]);
        let drop = dropped(&lab, "c1", "icmp", &large);
        drop.says(&format!("the packet has 1500 bytes, and {port} in {netns} takes 1400"))
            .says("no ICMP tells the sender")
            .shows(&json!({"kind": "link-mtu", "mtu": 1400, "device": port, "netns": netns, "answered_with": null}));
        link(&lab, "host", &[port, "mtu", "1500"]);
    }
}

#[test]
fn nobody_answers_for_the_next_hop() {
    if !can_make_labs("nobody_answers_for_the_next_hop", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let drop = dropped(&lab, "c1", "icmp[icmptype] = icmp-echo", &["ping", "-c1", "-W4", "10.40.0.99"]);
    drop.says("10.40.0.99 on eth0 was asked for by ARP")
        .says("is failed")
        .shows(&json!({"kind": "next-hop", "address": "10.40.0.99", "gateway": false, "state": "failed"}));
    run("ip", &["-n", &lab.netns("c1"), "route", "replace", "default", "via", "10.40.0.254"]).good();
    let drop = dropped(&lab, "c1", "icmp[icmptype] = icmp-echo", &["ping", "-c1", "-W4", "198.51.100.10"]);
    drop.says("the gateway 10.40.0.254 on eth0 was asked for by ARP").shows(&json!({"gateway": true}));
}

#[test]
fn nobody_listens() {
    if takes_too_long("nobody_listens") || !can_make_labs("nobody_listens", &["ip", "bash"]) {
        return;
    }
    let lab = Lab::up();
    let connect = |port: u16| format!("exec 3<>/dev/tcp/10.40.0.2/{port}");
    // c1 serves on port 80, and now on a second one on one address only.
    let c1 = Netns::open(&lab.netns("c1")).unwrap();
    let _kept = in_netns(&c1, || std::net::TcpListener::bind("127.0.0.1:8081").unwrap()).unwrap();
    let own = std::fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned();
    let netns = lab.netns("c1");

    let drop = dropped(&lab, "c2", "tcp port 81", &["bash", "-c", &connect(81)]);
    drop.says(&format!("nothing listens on tcp port 81 in {netns}; listening there: 80 ("))
        .says(&format!("8081 ({own})"));
    let elsewhere = drop.evidence.get("elsewhere").and_then(Value::as_array).expect("elsewhere");
    let mine = elsewhere.iter().find(|listener| listener.get("port") == Some(&8081.into())).expect("port 8081");
    let expected = json!({"address": "127.0.0.1", "port": 8081, "process": own, "pid": std::process::id()});
    assert_eq!(mine, &expected);

    let drop = dropped(&lab, "c2", "tcp port 8081", &["bash", "-c", &connect(8081)]);
    drop.says(&format!("tcp port 8081 in {netns} is listened to on 127.0.0.1 only, not on 10.40.0.2"));

    let drop = dropped(&lab, "c1", "udp port 53", &["bash", "-c", "echo >/dev/udp/10.40.0.3/53"]);
    drop.says(&format!("nothing listens on udp port 53 in {}", lab.netns("c2"))).shows(&json!({"proto": "udp"}));
}

#[test]
fn devices_that_are_down() {
    if takes_too_long("devices_that_are_down") || !can_make_labs("devices_that_are_down", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    link(&lab, "host", &["br0", "down"]);
    let drop = dropped(&lab, "c1", "icmp or arp", &["ping", "-c1", "-W1", "10.40.0.3"]);
    drop.says("br0, its bridge, is down").shows(&json!({"kind": "device", "name": "c1-h", "master_up": false}));
    link(&lab, "host", &["br0", "up"]);
    link(&lab, "host", &["c1-h", "down"]);
    let drop = dropped(&lab, "c1", "icmp or arp", &["ping", "-c1", "-W1", "10.40.0.3"]);
    drop.says("eth0 is up but has no carrier").shows(&json!({"name": "eth0", "up": true, "carrier": false}));
}

#[test]
fn time_to_live_ran_out() {
    if takes_too_long("time_to_live_ran_out") || !can_make_labs("time_to_live_ran_out", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let drop = dropped(&lab, "c1", "icmp", &["ping", "-c1", "-W1", "-t1", "198.51.100.10"]);
    drop.says("it came in with ttl 1").shows(&json!({"kind": "time-to-live", "value": 1}));
}

#[test]
fn a_frame_for_somebody_else() {
    if takes_too_long("a_frame_for_somebody_else") || !can_make_labs("a_frame_for_somebody_else", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let wrong = "02:00:00:00:00:99";
    let add = ["neigh", "replace", "10.40.0.3", "lladdr", wrong, "dev", "eth0", "nud", "permanent"];
    run("ip", &[&["-n", &lab.netns("c1")], &add[..]].concat()).good();
    let traced = trace("icmp", &["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "-W1", "10.40.0.3"]);
    let c2 = lab.netns("c2");
    let in_c2: Vec<_> = told(&traced, &lab)
        .into_iter()
        .filter(|(_, raw)| at(raw, "/drop/netns") == &Value::from(c2.as_str()))
        .collect();
    let drop = first_drop(&in_c2);
    assert_eq!(drop.reason, "OTHERHOST", "at {}", drop.function);
    drop.says(&format!("the frame is for {wrong}; eth0 is ")).shows(&json!({"destination": wrong}));
}

#[test]
fn the_conntrack_table_is_full() {
    if takes_too_long("the_conntrack_table_is_full") || !can_make_labs("the_conntrack_table_is_full", &["ip", "ping"]) {
        return;
    }
    let limit = Limit::lowered(6000);
    let lab = Lab::up();
    common::lab(&["break", "conntrack-full", "--name", &lab.name]).good();
    let drop = dropped(&lab, "c1", "icmp", PING_WORLD);
    assert_eq!((drop.reason.as_str(), drop.function.as_str()), ("NETFILTER_DROP", "nf_hook_slow"));
    drop.says(&format!("the conntrack table in {} is full: ", lab.netns("host")))
        .shows(&json!({"kind": "conntrack-table", "entries": limit.entries, "limit": limit.entries}));
}

/// Sends a frame out of a device of the calling thread's namespace.
fn send_frame(device: &str, frame: &[u8]) -> io::Result<()> {
    let raw = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
    let link = Socket::open().and_then(|mut socket| socket.link(device)).map_err(io::Error::other)?;
    let index = link.ok_or(io::ErrorKind::NotFound)?.ifindex.0;
    // SAFETY: an all-zero sockaddr_ll is a valid one.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
    address.sll_ifindex = i32::try_from(index).unwrap();
    let length = libc::socklen_t::try_from(size_of_val(&address)).unwrap();
    // SAFETY: the address is as long as said, and outlives the call.
    if unsafe { libc::bind(raw.as_raw_fd(), (&raw const address).cast(), length) } != 0 {
        return Err(io::Error::last_os_error());
    }
    send(raw.as_raw_fd(), frame, MsgFlags::empty())?;
    Ok(())
}

#[test]
fn a_wrong_header_checksum() {
    if takes_too_long("a_wrong_header_checksum") || !can_make_labs("a_wrong_header_checksum", &["ip"]) {
        return;
    }
    let lab = Lab::up();
    let mac = run("ip", &["-n", &lab.netns("c1"), "-o", "link", "show", "eth0"]).good().stdout;
    let mac = mac.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).unwrap().to_owned();
    let mac: Vec<u8> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let mut header = Ipv4Header::new(8, 64, IpNumber::UDP, [10, 40, 0, 3], [10, 40, 0, 2]).unwrap();
    header.header_checksum = 0x1234;
    let right = header.calc_header_checksum();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], mac.try_into().unwrap())
        .ipv4([10, 40, 0, 3], [10, 40, 0, 2], 64)
        .udp(1000, 2000)
        .write(&mut frame, &[])
        .unwrap();
    frame[14..34].copy_from_slice(&header.to_bytes());
    let tracer = Tracer::attached(&["udp port 2000"]);
    in_netns(&Netns::open(&lab.netns("host")).unwrap(), || send_frame("c1-h", &frame)).unwrap().unwrap();
    let traced = tracer.interrupt();
    let drop = first_drop(&told(&traced, &lab));
    assert_eq!(drop.reason, "IP_CSUM", "at {}", drop.function);
    drop.says(&format!("the header says 0x1234, its bytes add up to 0x{right:04x}"))
        .shows(&json!({"kind": "checksum", "header": 0x1234, "right": right}));
}
