//! Two namespaces joined by a veth pair, and senders inside them.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use netobs::netns::{Netns, in_netns};

use super::common::{Answer, eventually, run};

/// A port nobody listens on.
pub const PORT: u16 = 4242;

/// Namespaces of the test's own, gone with it: `left` with `10.77.0.1` and `right` with `10.77.0.2` on their `eth0`.
pub struct Bed {
    pub left: String,
    pub right: String,
}

impl Bed {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |side| format!("dr{}-{number}-{side}", std::process::id());
        Self { left: name("l"), right: name("r") }.build()
    }

    fn build(self) -> Self {
        let bed = self;
        for name in [&bed.left, &bed.right] {
            run("ip", &["netns", "add", name]).good();
            // Nothing but what the test sends.
            inside(name, &["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"]).good();
        }
        let Self { left, right } = &bed;
        ip(
            left,
            &format!(
                "link add eth0 address 02:00:00:00:00:01 type veth peer name eth0 address 02:00:00:00:00:02 netns {right}"
            ),
        );
        for (name, own, other) in [(left, 1, 2), (right, 2, 1)] {
            ip(name, &format!("addr add 10.77.0.{own}/24 dev eth0"));
            ip(name, "link set eth0 up");
            // No ARP: it could be dropped, too.
            ip(name, &format!("neigh add 10.77.0.{other} lladdr 02:00:00:00:00:0{other} dev eth0 nud permanent"));
        }
        // Until the kernel has noticed that there is a carrier, what is sent is dropped.
        for name in [left, right] {
            let shown = || run("ip", &["-n", name, "-o", "link", "show", "eth0"]).good().stdout;
            eventually("the link is up", || shown().contains("state UP"));
            // It is noticed in one go (linkwatch), and this takes the same lock.
            ip(name, "link set lo up");
        }
        bed
    }

    /// Removed and made anew, under the same names.
    pub fn again(self) -> Self {
        let fresh = Self { left: self.left.clone(), right: self.right.clone() };
        drop(self);
        fresh.build()
    }

    /// A rule that needs connection tracking turns it on.
    pub fn track(name: &str) {
        let chain = "add table ip f; add chain ip f c { type filter hook input priority 0; }";
        inside(name, &["nft", &format!("{chain}; add rule ip f c ct state invalid counter")]).good();
        // No entry runs out in the middle of a test.
        inside(name, &["sh", "-c", "echo 600 > /proc/sys/net/netfilter/nf_conntrack_udp_timeout"]).good();
    }

    /// Drops in nftables: `hook` of this namespace loses every datagram to `PORT` and counts it.
    pub fn drop_at(name: &str, hook: &str) {
        let rules = format!(
            "add table ip t; add chain ip t c {{ type filter hook {hook} priority 0; }}; \
             add rule ip t c udp dport {PORT} counter drop"
        );
        inside(name, &["nft", &rules]).good();
    }

    /// What the rule of [`Self::drop_at`] counted.
    pub fn dropped_by_rule(name: &str) -> u64 {
        let listing = inside(name, &["nft", "list", "chain", "ip", "t", "c"]).good().stdout;
        let (_, after) = listing.split_once("counter packets ").expect(&listing);
        after.split_whitespace().next().unwrap().parse().unwrap()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for name in [&self.left, &self.right] {
            run("ip", &["netns", "del", name]);
        }
    }
}

/// Says that it is over when it is dropped: by a test that fails, too, whose threads would go on for ever.
pub struct Over<'a>(pub &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// `ip -n NAME …`
pub fn ip(name: &str, command: &str) {
    let arguments: Vec<&str> = ["-n", name].into_iter().chain(command.split(' ')).collect();
    run("ip", &arguments).good();
}

/// `ip netns exec NAME …`
pub fn inside(name: &str, command: &[&str]) -> Answer {
    run("ip", &[&["netns", "exec", name], command].concat())
}

/// Sends so many small datagrams from a namespace to an address and port. That a rule drops them is no error here.
pub fn send(name: &str, to: &str, port: u16, datagrams: u64) {
    let netns = Netns::open(name).unwrap();
    let socket = in_netns(&netns, || UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    drop(netns);
    for _ in 0..datagrams {
        if let Err(error) = socket.send_to(b"netobs", (to, port)) {
            // By a rule; anything else never became a packet.
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{error}");
        }
    }
}

/// Waits until a namespace has refused so many datagrams since it began: they may arrive after `send` has returned.
pub fn refused(name: &str, datagrams: u64) {
    eventually("they arrive", || snmp(name, "Udp", "NoPorts") >= datagrams);
}

/// A counter of `/proc/net/snmp` in a namespace: `Udp` `NoPorts`.
pub fn snmp(name: &str, protocol: &str, counter: &str) -> u64 {
    counted(name, "snmp", protocol, counter)
}

/// A counter of `/proc/net/netstat` in a namespace: `TcpExt` `IPReversePathFilter`.
pub fn netstat(name: &str, protocol: &str, counter: &str) -> u64 {
    counted(name, "netstat", protocol, counter)
}

fn counted(name: &str, file: &str, protocol: &str, counter: &str) -> u64 {
    let netns = Netns::open(name).unwrap();
    let path = format!("/proc/thread-self/net/{file}");
    let text = in_netns(&netns, || std::fs::read_to_string(path).unwrap()).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(&format!("{protocol}: ")));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let (_, value) = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == counter).unwrap();
    value.parse().unwrap()
}
