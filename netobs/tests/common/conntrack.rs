//! Conntrack tables made as full as a test wants them, and what the `conntrack` tool says of them.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use netlink_sys::protocols::NETLINK_NETFILTER;
use netobs::netns::{Netns, in_netns};

use super::common::{Answer, run};

/// Requests per system call.
const BATCH: usize = 64;
// <linux/netfilter/nf_conntrack_common.h>
const IPS_SEEN_REPLY: u32 = 2;
const IPS_ASSURED: u32 = 4;
const IPS_CONFIRMED: u32 = 8;

/// What entries are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// TCP connections that stand: never evicted.
    Assured,
    /// UDP that nobody has answered: evicted first.
    Unanswered,
}

/// Enters flows from each source to `target` into a namespace's table through ctnetlink, where no packet could get them
/// in as fast. Returns how many the kernel refused.
#[track_caller]
pub fn enter(netns: &Netns, flow: Flow, flows: impl Iterator<Item = SocketAddr> + Send, target: SocketAddr) -> usize {
    in_netns(netns, || {
        let socket = netlink_sys::Socket::new(NETLINK_NETFILTER).unwrap();
        socket.connect(&netlink_sys::SocketAddr::new(0, 0)).unwrap();
        let flows: Vec<SocketAddr> = flows.collect();
        flows.chunks(BATCH).map(|batch| enter_batch(&socket, flow, batch, target)).sum()
    })
    .unwrap()
}

fn enter_batch(socket: &netlink_sys::Socket, flow: Flow, batch: &[SocketAddr], target: SocketAddr) -> usize {
    let mut requests = Vec::new();
    for (source, sequence) in batch.iter().zip(1u32..) {
        let body = request(flow, *source, target);
        // IPCTNL_MSG_CT_NEW; NLM_F_REQUEST, _ACK, _EXCL, _CREATE.
        requests.extend(u32::try_from(16 + body.len()).unwrap().to_ne_bytes());
        requests.extend(0x0100u16.to_ne_bytes());
        requests.extend(0x0605u16.to_ne_bytes());
        requests.extend(sequence.to_ne_bytes());
        requests.extend([0; 4]);
        requests.extend(body);
    }
    socket.send(&requests, 0).unwrap();
    let (mut answers, mut refused) = (0, 0);
    while answers < batch.len() {
        let (answer, _) = socket.recv_from_full().unwrap();
        // Header, then the error: none is an acknowledgement.
        refused += usize::from(answer[16..20] != [0; 4]);
        answers += 1;
    }
    refused
}

fn request(flow: Flow, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let (protocol, status) = match flow {
        Flow::Assured => (6, IPS_CONFIRMED | IPS_ASSURED | IPS_SEEN_REPLY),
        Flow::Unanswered => (17, IPS_CONFIRMED),
    };
    let family = if from.is_ipv4() { 2 } else { 10 };
    let mut body = vec![family, 0, 0, 0];
    body.extend(nest(1, &tuple(protocol, from, to)));
    body.extend(nest(2, &tuple(protocol, to, from)));
    body.extend(attribute(3, &status.to_be_bytes()));
    if flow == Flow::Assured {
        // The state of TCP: established.
        body.extend(nest(4, &nest(1, &attribute(1, &[3]))));
    }
    body.extend(attribute(7, &600u32.to_be_bytes()));
    body
}

fn tuple(protocol: u8, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let address = |v4: u16, address: IpAddr| match address {
        IpAddr::V4(address) => attribute(v4, &address.octets()),
        IpAddr::V6(address) => attribute(v4 + 2, &address.octets()),
    };
    let addresses = [address(1, from.ip()), address(2, to.ip())].concat();
    let ports = [attribute(2, &from.port().to_be_bytes()), attribute(3, &to.port().to_be_bytes())].concat();
    [nest(1, &addresses), nest(2, &[attribute(1, &[protocol]), ports].concat())].concat()
}

fn nest(kind: u16, value: &[u8]) -> Vec<u8> {
    attribute(kind | 0x8000, value)
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap();
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// `conntrack` in a pinned namespace.
pub fn tool(netns: &str, arguments: &[&str]) -> Answer {
    run("ip", &[&["netns", "exec", netns, "conntrack"], arguments].concat()).good()
}

/// `conntrack -C`
pub fn count(netns: &str) -> u64 {
    tool(netns, &["-C"]).stdout.trim().parse().unwrap()
}

/// The sums over all CPUs of what `conntrack -S` shows.
pub fn statistics(netns: &str) -> BTreeMap<String, u64> {
    let text = tool(netns, &["-S"]).stdout;
    let mut sums = BTreeMap::new();
    for (name, value) in text.split_whitespace().filter_map(|word| word.split_once('=')) {
        *sums.entry(name.to_owned()).or_default() += value.parse::<u64>().unwrap();
    }
    sums.remove("cpu");
    sums
}

/// Whether this is an emulated machine of the tests' own, whose settings nobody else depends on.
pub fn machine_is_ours() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default().contains("QEMU TCG")
}

/// The machine's limit, lowered where nobody else depends on it, so that a table is soon full. As before when dropped.
pub struct Limit {
    before: u64,
    pub entries: u64,
}

const LIMIT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

impl Limit {
    /// On a machine that is the tests' own `low`, elsewhere what it is.
    pub fn lowered(low: u64) -> Self {
        let before = std::fs::read_to_string(LIMIT).unwrap().trim().parse().unwrap();
        let entries = if machine_is_ours() { low } else { before };
        if entries != before {
            std::fs::write(LIMIT, entries.to_string()).unwrap();
        }
        Self { before, entries }
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        if self.entries != self.before {
            let _ = std::fs::write(LIMIT, self.before.to_string());
        }
    }
}
