//! Two hosts and a router between them, and packets through it that nothing else sends.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use netobs::event::{Conntrack, Direction, State, Tuple};
use netobs::netns::{Netns, in_netns};
use netobs::rules::{End, Finding, InetHook, Packet, Rules, Tracking};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, bind, connect, setsockopt, socket,
    sockopt,
};

use crate::common::{Answer, has, run, skip};

/// Where a packet goes; it always comes from host `a`, or from the router itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// The host behind the router.
    Beyond,
    /// The router.
    Router,
    /// From the router to the host `b`.
    FromRouter,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Udp(u16, u16),
    /// One SYN.
    Tcp(u16, u16),
}

/// `a` 10.1.0.2 fd01::2 — ra 10.1.0.1 | router | rb 10.2.0.1 — 10.2.0.2 fd02::2 `b`
pub struct Network {
    name: String,
}

impl Network {
    /// Builds one; `None`, aloud, where that cannot be done.
    pub fn new(test: &str, tools: &[&str]) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            skip(test, "not root");
            return None;
        }
        if let Some(missing) = tools.iter().chain(&["ip", "nft"]).find(|tool| !has(tool)) {
            skip(test, &format!("no {missing}"));
            return None;
        }
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("rules{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let own = Self { name };
        for node in ["a", "r", "b"] {
            run("ip", &["netns", "add", &own.netns(node)]).good();
            own.ip(node, &["link", "set", "lo", "up"]);
        }
        for (node, net) in [("a", 1), ("b", 2)] {
            let (near, far) = (format!("r{node}"), own.netns(node));
            own.ip("r", &["link", "add", &near, "type", "veth", "peer", "name", "eth0", "netns", &far]);
            for (node, device, host) in [("r", near.as_str(), 1), (node, "eth0", 2)] {
                own.ip(node, &["address", "add", &format!("10.{net}.0.{host}/24"), "dev", device]);
                own.ip(node, &["address", "add", &format!("fd0{net}::{host}/64"), "dev", device, "nodad"]);
                own.ip(node, &["link", "set", device, "up"]);
            }
            own.ip(node, &["route", "add", "default", "via", &format!("10.{net}.0.1")]);
            own.ip(node, &["route", "add", "default", "via", &format!("fd0{net}::1")]);
        }
        in_netns(&own.open("r"), || {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
            std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        })
        .unwrap();
        // Nothing answers, so that each packet is the only one.
        let silence = "add table inet t; add chain inet t c { type filter hook input priority 0; }; \
                       add rule inet t c meta l4proto { tcp, udp } drop";
        own.exec("b", &["nft", silence]).good();
        Some(own)
    }

    pub fn netns(&self, node: &str) -> String {
        format!("{}-{node}", self.name)
    }

    pub fn open(&self, node: &str) -> Netns {
        Netns::open(&self.netns(node)).unwrap()
    }

    #[track_caller]
    fn ip(&self, node: &str, arguments: &[&str]) {
        run("ip", &[&["-n", &self.netns(node)], arguments].concat()).good();
    }

    /// Runs a command in a node.
    pub fn exec(&self, node: &str, command: &[&str]) -> Answer {
        run("ip", &[&["netns", "exec", &self.netns(node)], command].concat())
    }

    /// Runs a command on the router and gives it input.
    #[track_caller]
    pub fn feed(&self, command: &[&str], input: &str) {
        if let Err(said) = self.offer(command, input) {
            unreachable!("{command:?}: {said}\n{input}");
        }
    }

    /// The same with a command that may refuse it.
    pub fn offer(&self, command: &[&str], input: &str) -> Result<(), String> {
        let mut process = Command::new("ip");
        process.args(["netns", "exec", &self.netns("r")]).args(command);
        let mut child = process.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// The router's rules.
    pub fn rules(&self) -> Rules {
        let rules = Rules::read(&self.open("r")).unwrap();
        assert!(rules.problems().is_empty(), "{:?}", rules.problems());
        rules
    }

    /// Sends one packet and returns what a trace would know of it, and the hook at which the router's rules may drop it.
    pub fn send(&self, to: To, kind: Kind, ipv6: bool) -> (Packet, InetHook) {
        let (sender, source, target) = match (to, ipv6) {
            (To::Beyond, false) => ("a", v4(1, 2), v4(2, 2)),
            (To::Beyond, true) => ("a", v6(1, 2), v6(2, 2)),
            (To::Router, false) => ("a", v4(1, 2), v4(1, 1)),
            (To::Router, true) => ("a", v6(1, 2), v6(1, 1)),
            (To::FromRouter, false) => ("r", v4(2, 1), v4(2, 2)),
            (To::FromRouter, true) => ("r", v6(2, 1), v6(2, 2)),
        };
        let (Kind::Udp(sport, dport) | Kind::Tcp(sport, dport)) = kind;
        let work = || transmit(kind, SocketAddr::new(source, sport), SocketAddr::new(target, dport));
        in_netns(&self.open(sender), work).unwrap();
        let tuple = Tuple { src: Some(source), dst: Some(target), sport: Some(sport), dport: Some(dport) };
        let answer = Tuple { src: Some(target), dst: Some(source), sport: Some(dport), dport: Some(sport) };
        let (hook, iif, oif) = match to {
            To::Beyond => (InetHook::Forward, Some("ra"), Some("rb")),
            To::Router => (InetHook::Input, Some("ra"), None),
            To::FromRouter => (InetHook::Output, None, Some("rb")),
        };
        let packet = Packet {
            tuple,
            entered: None,
            proto: Some(if matches!(kind, Kind::Udp(..)) { 17 } else { 6 }),
            icmp: None,
            tcp_flags: matches!(kind, Kind::Tcp(..)).then_some(2),
            iif: iif.map(str::to_owned),
            oif: oif.map(str::to_owned),
            length: None,
            mark: Some(0),
            tracking: Tracking::Entry(Conntrack {
                state: Some(State::New),
                direction: Some(Direction::Original),
                orig: Some(tuple),
                reply: Some(answer),
                zone: 0,
                mark: 0,
            }),
        };
        (packet, hook)
    }
}

/// What ought to have been said of a packet beforehand whose end is known: that it passes, or dies of this rule.
pub fn foretold(finding: &Finding) -> End {
    finding.rule.clone().map_or(End::Passes, |rule| End::Dropped(vec![rule]))
}

fn v4(net: u8, host: u8) -> IpAddr {
    Ipv4Addr::new(10, net, 0, host).into()
}

fn v6(net: u16, host: u16) -> IpAddr {
    Ipv6Addr::new(0xfd00 + net, 0, 0, 0, 0, 0, 0, host).into()
}

/// A send that a rule of the sender's own forbids fails, which is what is being tested.
fn transmit(kind: Kind, from: SocketAddr, to: SocketAddr) {
    match kind {
        Kind::Udp(..) => {
            let socket = UdpSocket::bind(from).unwrap();
            let _ = socket.send_to(b"netobs", to);
        }
        Kind::Tcp(..) => syn(from, to),
    }
}

/// One SYN and no more: the socket is closed before a second one.
fn syn(from: SocketAddr, to: SocketAddr) {
    let family = if from.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).unwrap();
    setsockopt(&socket, sockopt::ReuseAddr, &true).unwrap();
    bind(socket.as_raw_fd(), address(from).as_ref()).unwrap();
    let _ = connect(socket.as_raw_fd(), address(to).as_ref());
    drop(socket);
}

fn address(of: SocketAddr) -> Box<dyn SockaddrLike> {
    match of {
        SocketAddr::V4(v4) => Box::new(SockaddrIn::from(v4)),
        SocketAddr::V6(v6) => Box::new(SockaddrIn6::from(v6)),
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in ["a", "r", "b"] {
            run("ip", &["netns", "del", &self.netns(node)]);
        }
    }
}
