//! What the state alone shows of rules, tables, sizes and listeners. Each fault is made for real, found, and mended by the
//! very commands that the finding advises; then nothing is found any more.

use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};

use netobs::diagnose::along;
use netobs::diagnose::machine::Machine;
use netobs::diagnose::{Endpoint, Finding, Force, Protocol, Question, way};
use netobs::netns::{Netns, in_netns};
use nix::sys::socket::{Backlog, listen};

use crate::common::{Lab, can_make_labs, has, lab, run, skip, takes_too_long};

/// The default lab, and what may be asked in it.
struct Network {
    lab: Lab,
}

#[derive(Clone, Copy, Debug)]
struct Asked(&'static str, &'static str, Option<u16>, Protocol);

const WORLD: Asked = Asked("c1", "198.51.100.10", None, Protocol::Icmp);
const WORLD_TCP: Asked = Asked("c1", "198.51.100.10", Some(80), Protocol::Tcp);
const NEIGHBOUR: Asked = Asked("c1", "10.40.0.3", None, Protocol::Icmp);
const GATEWAY: Asked = Asked("c1", "10.40.0.1", None, Protocol::Icmp);
const PUBLISHED: Asked = Asked("inet", "203.0.113.2", Some(8080), Protocol::Tcp);
const NAMES: Asked = Asked("c1", "198.51.100.10", Some(53), Protocol::Udp);
const FLOW: Asked = Asked("c1", "198.51.100.10", Some(5000), Protocol::Udp);

impl Network {
    fn new(test: &str, tools: &[&str]) -> Option<Self> {
        can_make_labs(test, &[&["ip"], tools].concat()).then(|| Self { lab: Lab::up() })
    }

    fn look(&self, asked: Asked) -> Vec<Finding> {
        let Asked(from, to, port, protocol) = asked;
        let name = self.lab.netns(from);
        let netns = Netns::pinned(&name).unwrap().inode();
        let pid = run("ip", &["netns", "pids", &name]).good().stdout.lines().next().and_then(|pid| pid.parse().ok());
        let to: IpAddr = to.parse().unwrap();
        let question = Question { from: Endpoint { name, netns, pid }, to, port, protocol };
        let mut machine = Machine::new();
        let way = way::walk(&mut machine, &question);
        let along = along::look(&mut machine, &way, &question);
        along::together(way.findings, along.findings)
    }

    /// A command in a node's namespace.
    #[track_caller]
    fn type_in(&self, node: &str, command: &str) {
        let netns = self.lab.netns(node);
        run("ip", &[&["netns", "exec", &netns, "sh", "-c"], [command].as_slice()].concat()).good();
    }

    /// Nothing is wrong, at none of the ends.
    #[track_caller]
    fn is_well(&self) {
        for asked in [WORLD, WORLD_TCP, NEIGHBOUR, GATEWAY, PUBLISHED, NAMES] {
            assert_eq!(self.look(asked), [], "{asked:?}");
        }
    }

    /// The one thing that is wrong.
    #[track_caller]
    fn only(&self, asked: Asked, cause: &str, force: Force) -> Finding {
        let mut found = self.look(asked);
        assert_eq!(found.iter().map(|finding| finding.cause).collect::<Vec<_>>(), [cause], "{found:#?}");
        let finding = found.remove(0);
        assert_eq!(finding.force, force, "{finding:#?}");
        assert!(finding.sentence.ends_with('.') && !finding.evidence.is_empty(), "{finding:#?}");
        finding
    }

    /// Types what the finding advises.
    #[track_caller]
    fn mend(&self, finding: &Finding) {
        assert!(!finding.fix.is_empty(), "{finding:#?}");
        for command in &finding.fix {
            run("sh", &["-c", command]).good();
        }
    }

    /// One fault, one finding; with its advice followed, none.
    #[track_caller]
    fn breaks(&self, node: &str, command: &str, asked: Asked, cause: &str) -> Finding {
        self.type_in(node, command);
        let finding = self.only(asked, cause, Force::Stops);
        assert_eq!(finding.culprit.netns, Some(self.lab.netns(node)), "{finding:#?}");
        self.mend(&finding);
        assert_eq!(self.look(asked), [], "mended by {:?}", finding.fix);
        finding
    }
}

#[test]
fn rules_that_drop_are_named_and_taken_away() {
    let test = "rules_that_drop_are_named_and_taken_away";
    if takes_too_long(test) {
        return;
    }
    let Some(net) = Network::new(test, &[]) else { return };
    net.is_well();
    let chain = |hook: &str, policy: &str| {
        format!(
            "nft add table ip fw; nft 'add chain ip fw {hook} {{ type filter hook {hook} priority 0 ; policy {policy} ; }}'"
        )
    };
    let finding = net.breaks("host", &chain("forward", "drop"), WORLD, "forward-policy-drop");
    let host = net.lab.netns("host");
    assert!(finding.sentence.contains(&format!("{host} drops the icmp packet from 10.40.0.2 to 198.51.100.10")));
    assert_eq!(finding.fix, [format!("ip netns exec {host} nft add chain ip fw forward '{{ policy accept ; }}'")]);
    let rule = |hook: &str, rule: &str| format!("{}; nft add rule ip fw {hook} {rule}", chain(hook, "accept"));
    net.breaks("host", &rule("forward", "ip daddr 198.51.100.0/24 drop"), WORLD, "forward-rule-drop");
    // The answer meets it, not the packet.
    let finding = net.breaks("host", &rule("forward", "ct state established drop"), WORLD, "forward-rule-drop");
    assert!(finding.sentence.contains("answer"), "{finding:#?}");
    net.breaks("host", &rule("prerouting", "icmp type echo-request reject"), WORLD, "prerouting-rule-drop");
    net.breaks("host", &rule("postrouting", "oifname up0 counter drop"), WORLD, "postrouting-rule-drop");
    net.breaks("c1", &rule("output", "ip protocol icmp drop"), WORLD, "output-rule-drop");
    net.breaks("c1", &chain("input", "drop"), NEIGHBOUR, "input-policy-drop");
    net.breaks("c1", &rule("input", "tcp dport 80 drop"), PUBLISHED, "input-rule-drop");
    // A packet that no rule is about is no fault.
    net.type_in("host", &rule("forward", "tcp dport 81 drop"));
    net.is_well();
    // What depends on what went before is no fact.
    net.type_in("host", &rule("forward", "limit rate 1/hour drop"));
    net.only(WORLD, "forward-rule-drop", Force::MayStop);
}

#[test]
fn the_rules_of_iptables_are_named_in_its_own_words() {
    let test = "the_rules_of_iptables_are_named_in_its_own_words";
    let Some(net) = Network::new(test, &["iptables"]) else { return };
    for tool in ["iptables-nft", "iptables-legacy"] {
        if !has(tool) || net.lab.exec("host", &[tool, "-L", "-n"]).status != 0 {
            skip(test, &format!("{tool} does not work here"));
            continue;
        }
        let finding = net.breaks("host", &format!("{tool} -P FORWARD DROP"), WORLD, "forward-policy-drop");
        assert!(finding.fix[0].ends_with("-P FORWARD ACCEPT"), "{finding:#?}");
        let drop = format!("{tool} -A FORWARD -p icmp -m comment --comment \"no \\$(reboot)\" -j DROP");
        net.breaks("host", &drop, WORLD, "forward-rule-drop");
        let raw = format!("{tool} -t raw -A PREROUTING -s 10.40.0.2 -j DROP");
        net.breaks("host", &raw, WORLD, "prerouting-rule-drop");
        net.is_well();
        // Whoever keeps the rules would put back what is changed by hand.
        net.type_in("host", &format!("{tool} -N DOCKER-USER; {tool} -P FORWARD DROP"));
        let finding = net.only(WORLD, "forward-policy-drop", Force::Stops);
        let told = "iptables -I DOCKER-USER -s 10.40.0.2 -d 198.51.100.10 -j ACCEPT";
        assert!(finding.hints.iter().any(|hint| hint.contains(told)), "{finding:#?}");
        net.type_in("host", &format!("{tool} -X DOCKER-USER; {tool} -P FORWARD ACCEPT"));
    }
}

/// Frames that only cross a bridge meet the IP firewall only where the namespace says so.
#[test]
fn a_bridge_that_asks_the_ip_firewall() {
    let test = "a_bridge_that_asks_the_ip_firewall";
    let Some(net) = Network::new(test, &[]) else { return };
    let key = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    if net.lab.exec("host", &["test", "-e", key]).status != 0 {
        return skip(test, "br_netfilter is not loaded");
    }
    net.type_in("host", &format!("echo 0 > {key}"));
    net.type_in(
        "host",
        "nft add table ip fw; nft 'add chain ip fw forward { type filter hook forward priority 0 ; policy drop ; }'; \
         nft add rule ip fw forward oifname up0 accept; nft add rule ip fw forward iifname up0 accept",
    );
    net.is_well();
    let finding = net.breaks("host", &format!("echo 1 > {key}"), NEIGHBOUR, "bridge-netfilter-drop");
    assert!(finding.sentence.contains("from c1-h to c2-h"), "{finding:#?}");
}

#[test]
fn who_listens_and_who_does_not() {
    let Some(net) = Network::new("who_listens_and_who_does_not", &[]) else { return };
    // The rule that the finding advises is one of iptables, if that is there.
    net.type_in("host", "nft flush chain ip lab prerouting");
    let finding = net.only(PUBLISHED, "port-not-published", Force::Stops);
    assert!(finding.fix[0].contains("10.40.0.2:80"), "c1 is who listens: {finding:#?}");
    if has("iptables") {
        net.mend(&finding);
        net.is_well();
    } else {
        skip("who_listens_and_who_does_not (the advice)", "no iptables");
    }
    // Another address of the host's, asked from inside: the host itself is meant.
    net.only(Asked("c1", "10.40.0.1", Some(9999), Protocol::Tcp), "no-listener", Force::Stops);
    let finding = net.only(Asked("c1", "10.40.0.3", Some(80), Protocol::Tcp), "no-listener", Force::Stops);
    assert!(finding.sentence.contains("nobody listens on tcp port 80"), "{finding:#?}");
    net.only(Asked("c1", "10.40.0.3", Some(80), Protocol::Udp), "no-listener", Force::Stops);
    let inside = Netns::pinned(&net.lab.netns("c2")).unwrap();
    let asked = Asked("c1", "10.40.0.3", Some(7000), Protocol::Udp);
    let own = in_netns(&inside, || UdpSocket::bind("127.0.0.1:7000").unwrap()).unwrap();
    let finding = net.only(asked, "listener-on-loopback", Force::Stops);
    assert!(finding.sentence.contains("127.0.0.1:7000 only"), "{finding:#?}");
    drop(own);
    let own = in_netns(&inside, || UdpSocket::bind("[::]:7000").unwrap()).unwrap();
    assert_eq!(net.look(asked), []);
    drop(own);
    // One that listens, and never accepts.
    let deaf = in_netns(&inside, || TcpListener::bind("10.40.0.3:7001").unwrap()).unwrap();
    listen(&deaf, Backlog::new(1).unwrap()).unwrap();
    let asked = Asked("c1", "10.40.0.3", Some(7001), Protocol::Tcp);
    assert_eq!(net.look(asked), []);
    let connect = || (0..2).map(|_| TcpStream::connect("10.40.0.3:7001").unwrap()).collect::<Vec<_>>();
    let queue = in_netns(&inside, connect).unwrap();
    let finding = net.only(asked, "accept-queue-full", Force::Stops);
    assert!(finding.sentence.contains("2 wait, and no more than 1 should"), "{finding:#?}");
    drop((queue, deaf));
    net.breaks("c2", "echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all", NEIGHBOUR, "echo-ignored");
    // A service that stops.
    lab(&["break", "no-listener", "--name", &net.lab.name]).good();
    let finding = net.only(PUBLISHED, "no-listener", Force::Stops);
    assert_eq!(finding.culprit.netns, Some(net.lab.netns("c1")), "{finding:#?}");
    lab(&["fix", "no-listener", "--name", &net.lab.name]).good();
    lab(&["break", "dns-unreachable", "--name", &net.lab.name]).good();
    let finding = net.only(Asked("c1", "10.40.0.1", Some(53), Protocol::Udp), "dns-unreachable", Force::Stops);
    assert!(finding.evidence[0].contains("nameserver 10.40.0.1"), "{finding:#?}");
}

#[test]
fn devices_that_take_less_than_they_are_sent() {
    let test = "devices_that_take_less_than_they_are_sent";
    if takes_too_long(test) {
        return;
    }
    let Some(net) = Network::new(test, &[]) else { return };
    let finds = |node: &str, command: &str, asked: Asked, cause: &str| {
        net.type_in(node, command);
        let finding = net.only(asked, cause, Force::Harms);
        net.mend(&finding);
        assert_eq!(net.look(asked), [], "mended by {:?}", finding.fix);
        finding
    };
    finds("host", "ip link set c1-h mtu 1400", GATEWAY, "veth-mtu-mismatch");
    finds("host", "ip link set c1-h mtu 1400", WORLD, "veth-mtu-mismatch");
    finds("host", "ip link set c2-h mtu 1400", NEIGHBOUR, "bridge-mtu-black-hole");
    let finding = finds("host", "ip link set up0 mtu 1400", WORLD, "mtu-path-smaller");
    assert!(finding.hints[0].contains("heals itself"), "{finding:#?}");
    // The answer's way has the router, too.
    finds("host", "ip link set up0 mtu 1400", PUBLISHED, "veth-mtu-mismatch");
    let chain = |hook: &str| {
        format!("nft add table ip fw; nft 'add chain ip fw {hook} {{ type filter hook {hook} priority 0 ; }}'; ")
    };
    for (node, rule) in [
        ("host", format!("{}nft add rule ip fw output icmp type destination-unreachable drop", chain("output"))),
        ("c1", format!("{}nft add rule ip fw input ct state related drop", chain("input"))),
    ] {
        net.type_in("host", "ip link set up0 mtu 1400");
        net.type_in(node, &rule);
        let finding = net.only(WORLD, "mtu-black-hole", Force::Harms);
        assert_eq!(finding.culprit.netns, Some(net.lab.netns(node)), "{finding:#?}");
        net.mend(&finding);
        net.only(WORLD, "mtu-path-smaller", Force::Harms);
        net.type_in("host", "ip link set up0 mtu 1500");
    }
    // A VLAN tag's worth is tolerated by veth and bridge.
    net.type_in("host", "ip link set c2-h mtu 1496");
    assert_eq!(net.look(NEIGHBOUR), []);
}

#[test]
fn many_flows_and_one_port() {
    let Some(net) = Network::new("many_flows_and_one_port", &[]) else { return };
    let server = in_netns(&Netns::pinned(&net.lab.netns("inet")).unwrap(), || UdpSocket::bind("0.0.0.0:5000").unwrap());
    lab(&["break", "snat-port-clash", "--name", &net.lab.name]).good();
    // One flow alone does well: that there is such a rule is only a suspicion.
    net.only(FLOW, "snat-port-clash", Force::MayStop);
    let sender = Netns::pinned(&net.lab.netns("c1")).unwrap();
    in_netns(&sender, || {
        // All at once, so that each has a port of its own.
        let sockets = [(); 3].map(|()| UdpSocket::bind("0.0.0.0:0").unwrap());
        for socket in &sockets {
            socket.send_to(b"netobs", "198.51.100.10:5000").unwrap();
        }
    })
    .unwrap();
    let finding = net.only(FLOW, "snat-port-clash", Force::Harms);
    assert!(finding.evidence.iter().any(|line| line.contains("insert_failed 2")), "{finding:#?}");
    net.mend(&finding);
    assert_eq!(net.look(FLOW), []);
    drop(server);
}

#[test]
fn a_connection_table_without_room() {
    let test = "a_connection_table_without_room";
    if takes_too_long(test) {
        return;
    }
    let Some(net) = Network::new(test, &[]) else { return };
    for (scenario, force) in [("conntrack-full", Force::Stops), ("conntrack-early-drop", Force::Harms)] {
        let broken = lab(&["break", scenario, "--name", &net.lab.name]);
        if broken.status != 0 {
            skip(test, broken.stderr.trim());
            continue;
        }
        let finding = net.only(WORLD, scenario, force);
        assert_eq!(finding.culprit.netns, Some(net.lab.netns("host")), "{finding:#?}");
        lab(&["fix", scenario, "--name", &net.lab.name]).good();
        assert_eq!(net.look(WORLD), []);
    }
}

#[test]
fn a_process_that_was_killed_for_memory() {
    let test = "a_process_that_was_killed_for_memory";
    let Some(net) = Network::new(test, &["dd"]) else { return };
    let broken = lab(&["break", "oom-kill", "--name", &net.lab.name]);
    if broken.status != 0 {
        return skip(test, broken.stderr.trim());
    }
    assert_eq!(net.look(GATEWAY), [], "nobody was killed yet");
    net.lab.exec("c1", &["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"]);
    let finding = net.only(GATEWAY, "oom-kill", Force::Harms);
    assert!(finding.sentence.contains("may use 49 MB") || finding.sentence.contains("may use 50 MB"), "{finding:#?}");
    lab(&["fix", "oom-kill", "--name", &net.lab.name]).good();
    assert_eq!(net.look(GATEWAY), [], "that was under another limit");
}
