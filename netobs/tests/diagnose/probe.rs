//! The packet that is sent, what is seen of it, and what follows from that: faults that no look at the machine can show,
//! answers that prove a look wrong, and what is said where nothing could be seen.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};

use netobs::diagnose::endpoint::find;
use netobs::diagnose::machine::Machine;
use netobs::diagnose::{Diagnosis, Protocol, Question, Watcher, diagnose};
use netobs::netns::{Netns, in_netns};

use crate::common::{Lab, can_make_labs, run, skip};

const WORLD: &str = "198.51.100.10:0";
const NEIGHBOUR: &str = "10.40.0.3:0";

/// A lab, and hooks that watch it.
struct Watched {
    lab: Lab,
    watcher: Watcher,
    machine: Machine,
}

impl Watched {
    fn new(test: &str, tools: &[&str]) -> Option<Self> {
        if !can_make_labs(test, &[&["ip"], tools].concat()) {
            return None;
        }
        let mut watcher = Watcher::start(&[]);
        match watcher.ready() {
            Ok(()) => Some(Self { lab: Lab::up(), watcher, machine: Machine::new() }),
            Err(why) => {
                skip(test, &why);
                None
            }
        }
    }

    /// To port 0: by ICMP.
    fn ask(&mut self, from: &str, to: &str, protocol: Protocol) -> Diagnosis {
        let question = question(&self.lab, from, to, protocol);
        diagnose(&mut self.machine, Some(&mut self.watcher), &question, &mut |_| {})
    }

    fn ping(&mut self, to: &str) -> Diagnosis {
        self.ask("c1", to, Protocol::Icmp)
    }

    /// A command in a node's namespace.
    #[track_caller]
    fn type_in(&self, node: &str, command: &str) {
        type_in(&self.lab, node, command);
    }
}

#[track_caller]
fn type_in(lab: &Lab, node: &str, command: &str) {
    run("ip", &["netns", "exec", &lab.netns(node), "sh", "-c", command]).good();
}

fn question(lab: &Lab, from: &str, to: &str, protocol: Protocol) -> Question {
    let to: SocketAddr = to.parse().unwrap();
    let from = find(&lab.netns(from)).unwrap();
    Question { from, to: to.ip(), port: Some(to.port()).filter(|port| *port > 0), protocol }
}

/// Names of the devices, of the namespaces without the lab's.
fn devices(lab: &Lab, places: &[netobs::diagnose::Place]) -> Vec<String> {
    let node = |name: &str| name.trim_start_matches(&lab.netns("")).to_owned();
    let name = |place: &netobs::diagnose::Place| {
        format!("{} {}", node(place.netns.as_deref().unwrap()), place.device.as_deref().unwrap())
    };
    places.iter().map(name).collect()
}

#[test]
fn a_healthy_way_is_seen_at_each_device_in_order() {
    let Some(mut net) = Watched::new("probe::a_healthy_way_is_seen_at_each_device_in_order", &[]) else { return };
    for protocol in [Protocol::Icmp, Protocol::Tcp, Protocol::Udp] {
        let to = match protocol {
            Protocol::Icmp => WORLD,
            Protocol::Tcp => "198.51.100.10:80",
            Protocol::Udp => "198.51.100.10:53",
        };
        let found = net.ask("c1", to, protocol);
        assert!(found.healthy && found.cause.is_none() && found.round_trip.is_some(), "{found:#?}");
        let out = ["c1 eth0", "host c1-h", "host br0", "host up0", "inet eth0"];
        assert_eq!(devices(&net.lab, &found.out.places), out, "{found:#?}");
        let seen = devices(&net.lab, &found.back.places);
        assert_eq!((seen.len(), seen.first(), seen.last()), (5, Some(&"inet eth0".into()), Some(&"c1 eth0".into())));
        for trail in [&found.out, &found.back] {
            assert!(trail.places.iter().all(|place| place.seen == Some(true)), "{found:#?}");
            assert!(trail.places.is_sorted_by_key(|place| place.after), "{found:#?}");
            assert_eq!(trail.breaks_at, None);
        }
    }
}

#[test]
fn what_no_state_shows_is_shown_by_the_drop() {
    let Some(mut net) = Watched::new("probe::what_no_state_shows_is_shown_by_the_drop", &[]) else { return };
    net.type_in("host", &netdev("c2-h", "ip protocol icmp"));
    let found = net.ping(NEIGHBOUR);
    assert_eq!(found.cause, Some("netfilter-drop"), "{found:#?}");
    assert!(found.sentence.contains("the answer on c2-h"), "{found:#?}");
    let host = net.lab.netns("host");
    assert_eq!(found.last_good.as_ref().and_then(|last| last.netns.as_ref()), Some(&host), "{found:#?}");
    // There, and from c2 back to the host.
    assert_eq!((found.out.breaks_at, found.back.breaks_at), (None, Some(2)), "{found:#?}");
    net.type_in("host", "nft delete table netdev t");
    assert!(net.ping(NEIGHBOUR).healthy, "the same watcher, and nothing of before");
}

#[test]
fn a_large_packet_that_is_lost_is_told_beside_the_answer() {
    let test = "probe::a_large_packet_that_is_lost_is_told_beside_the_answer";
    let Some(mut net) = Watched::new(test, &[]) else { return };
    net.type_in("host", &netdev("c1-h", "ip length > 1400"));
    let found = net.ping(WORLD);
    assert!(found.round_trip.is_some() && !found.healthy, "{found:#?}");
    assert_eq!(found.cause, Some("netfilter-drop"), "{found:#?}");
    assert_eq!(found.out.breaks_at, None, "{found:#?}");
}

/// Drops at a device's ingress, before any of IP's hooks.
fn netdev(device: &str, what: &str) -> String {
    let chain = format!("add chain netdev t c {{ type filter hook ingress device \"{device}\" priority 0 ; }}");
    format!("nft 'add table netdev t ; {chain} ; add rule netdev t c {what} drop'")
}

#[test]
fn an_answer_outweighs_what_may_be_wrong() {
    let Some(mut net) = Watched::new("probe::an_answer_outweighs_what_may_be_wrong", &[]) else { return };
    // Whether it drops, the rule alone does not tell.
    let chain = "add table ip t ; add chain ip t c { type filter hook forward priority 0 ; }";
    net.type_in("host", &format!("nft '{chain} ; add rule ip t c ip ttl 1 drop'"));
    let found = net.ping(WORLD);
    assert!(found.healthy && found.also.is_empty(), "{found:#?}");
    // Where it does, the drop is the proof.
    net.type_in("host", "nft 'flush chain ip t c ; add rule ip t c ip ttl 63 drop'");
    let found = net.ping(WORLD);
    assert_eq!(found.cause, Some("forward-rule-drop"), "{found:#?}");
}

#[test]
fn a_datagram_that_is_taken_and_not_answered_got_there() {
    let Some(mut net) = Watched::new("probe::a_datagram_that_is_taken_and_not_answered_got_there", &[]) else { return };
    let netns = Netns::pinned(&net.lab.netns("inet")).unwrap();
    let silent = in_netns(&netns, || UdpSocket::bind("198.51.100.10:4000").unwrap()).unwrap();
    let found = net.ask("c1", "198.51.100.10:4000", Protocol::Udp);
    assert!(found.healthy && found.round_trip.is_none(), "{found:#?}");
    assert!(found.sentence.contains("is taken by"), "{}", found.sentence);
    drop(silent);
    let found = net.ask("c1", "198.51.100.10:4000", Protocol::Udp);
    assert_eq!(found.cause, Some("no-listener"), "{found:#?}");
}

#[test]
fn who_else_asks_for_the_same_addresses_is_none_of_ours() {
    let test = "probe::who_else_asks_for_the_same_addresses_is_none_of_ours";
    let Some(mut net) = Watched::new(test, &["ping"]) else { return };
    // Networks apart from each other have the same addresses. There, whoever asks for the gateway asks in vain.
    let other = Lab::up();
    run("ip", &["-n", &other.netns("host"), "link", "set", "c1-h", "down"]).good();
    let ping = ["netns", "exec", &other.netns("c1"), "ping", "-q", "-i0.05", "-W0.1", "10.40.0.1"];
    let mut asking = Command::new("ip").args(ping).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let netns = Netns::pinned(&net.lab.netns("inet")).unwrap();
    let _silent = in_netns(&netns, || UdpSocket::bind("198.51.100.10:4000").unwrap()).unwrap();
    let found = net.ask("c1", "198.51.100.10:4000", Protocol::Udp);
    asking.kill().unwrap();
    asking.wait().unwrap();
    assert!(found.healthy, "{found:#?}");
}

#[test]
fn where_nothing_is_watched_the_state_speaks_and_says_so() {
    let test = "probe::where_nothing_is_watched_the_state_speaks_and_says_so";
    if !can_make_labs(test, &["ip"]) {
        return;
    }
    let lab = Lab::up();
    let ask = || diagnose(&mut Machine::new(), None, &question(&lab, "c1", WORLD, Protocol::Icmp), &mut |_| {});
    let found = ask();
    assert!(found.healthy && found.unobserved.is_some(), "{found:#?}");
    assert!(found.out.places.iter().all(|place| place.seen.is_none()), "{found:#?}");
    type_in(&lab, "host", "sysctl -qw net.ipv4.ip_forward=0");
    let found = ask();
    assert_eq!(found.cause, Some("ip-forward-off"), "{found:#?}");
    assert!(found.last_good.is_none() && found.out.breaks_at.is_none(), "nobody saw it: {found:#?}");
}

#[test]
fn nothing_is_changed() {
    let Some(mut net) = Watched::new("probe::nothing_is_changed", &["tc"]) else { return };
    net.ping(WORLD);
    let state = |net: &Watched| {
        let mut text = String::new();
        for node in ["host", "c1", "c2", "inet"] {
            for command in [
                // IPv6 goes on changing for a second after a lab is up.
                "ip -4 addr",
                "ip -4 route show table all",
                "nft list ruleset",
                "tc qdisc",
                "sysctl net.ipv4.conf",
            ] {
                let netns = net.lab.netns(node);
                text += &run("ip", &["netns", "exec", &netns, "sh", "-c", &format!("{command} 2>&1")]).good().stdout;
            }
        }
        // What packets count up.
        let words = text.split_whitespace().filter(|word| !word.bytes().all(|byte| byte.is_ascii_digit()));
        words.filter(|word| !word.ends_with("sec")).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = state(&net);
    for (from, to, protocol) in [
        ("c1", WORLD, Protocol::Icmp),
        ("c1", "198.51.100.10:80", Protocol::Tcp),
        ("inet", "203.0.113.2:8080", Protocol::Tcp),
        ("c2", "10.40.0.77:0", Protocol::Icmp),
    ] {
        net.ask(from, to, protocol);
    }
    assert_eq!(before, state(&net));
}
