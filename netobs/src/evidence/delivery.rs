//! Who got a packet that arrived.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::process::Processes;
use crate::event::{Detail, Headers, Proto};
use crate::netlink::{DiagSocket, Ifindex, InetSocket, Transport};
use crate::netns::{Netns, NetnsInode};

/// How long an answer is good for the next packet of the flow.
const FRESH: Duration = Duration::from_millis(500);
/// A flow's last packets come when its socket is closed already: so long it is still known whose it was.
const CLOSED: Duration = Duration::from_secs(10);
/// Flows remembered.
const REMEMBERED: usize = 1024;

/// The socket that the kernel gives such a packet to, or the kernel itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Receiver {
    /// Protocol by pcap-filter's name.
    pub proto: String,
    /// The address the socket is bound to; `0.0.0.0` or `::` for all.
    pub address: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// Its inode, by which `/proc/PID/fd` names it.
    pub inode: Option<u32>,
    /// The process that has it open, by its own name for itself; of a connection that is closed already, or
    /// not accepted yet, the process that listens on its port.
    pub process: Option<String>,
    /// That process's id on this machine.
    pub pid: Option<i32>,
    /// No process has the connection itself: `process` is known by the listening socket only.
    pub by_listener: bool,
    /// The namespace.
    pub netns: Option<String>,
    /// No socket: the kernel answers such packets itself, as pings and ARP.
    pub kernel: bool,
}

/// A flow at its receiving end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flow {
    netns: NetnsInode,
    transport: Transport,
    local: SocketAddr,
    remote: SocketAddr,
    device: Option<Ifindex>,
}

impl Flow {
    /// `None` for what has no ports.
    pub(super) fn of(headers: &Headers, netns: NetnsInode, device: Option<Ifindex>) -> Option<Self> {
        let transport = match headers.proto {
            Proto::Tcp => Transport::Tcp,
            Proto::Udp => Transport::Udp,
            _ => return None,
        };
        let tuple = headers.tuple;
        let local = SocketAddr::new(tuple.dst?, tuple.dport?);
        Some(Self { netns, transport, local, remote: SocketAddr::new(tuple.src?, tuple.sport?), device })
    }
}

/// What the kernel answers by itself, in every namespace and without any socket: pings, ARP, neighbour discovery.
pub(super) fn by_kernel(headers: &Headers, netns: Option<&str>) -> Option<Receiver> {
    let answers = match (headers.proto, headers.detail) {
        (Proto::Arp, _) => true,
        (Proto::Icmp, Detail::Icmp { kind, .. }) => kind == 8,
        (Proto::Icmp6, Detail::Icmp { kind, .. }) => matches!(kind, 128 | 133..=137),
        _ => false,
    };
    answers.then(|| Receiver {
        proto: headers.proto.name(),
        address: None,
        port: None,
        inode: None,
        process: None,
        pid: None,
        by_listener: false,
        netns: netns.map(str::to_owned),
        kernel: true,
    })
}

/// Receivers of flows, remembered for a moment.
#[derive(Debug, Default)]
pub(super) struct Receivers {
    known: HashMap<Flow, Known>,
}

#[derive(Debug)]
struct Known {
    /// When the kernel was asked last.
    asked: Instant,
    /// When it named this receiver.
    named: Instant,
    receiver: Option<Receiver>,
}

impl Receivers {
    /// What was found for this flow a moment ago, be it nothing.
    pub(super) fn remembered(&self, flow: &Flow) -> Option<Option<Receiver>> {
        self.known.get(flow).filter(|known| known.asked.elapsed() < FRESH).map(|known| known.receiver.clone())
    }

    /// Asks the kernel.
    pub(super) fn ask(
        &mut self,
        flow: Flow,
        netns: &Netns,
        name: Option<&str>,
        processes: &mut Processes,
    ) -> Option<Receiver> {
        let now = Instant::now();
        let found = DiagSocket::open_in(netns).ok().and_then(|mut diag| look(&mut diag, flow, name, processes));
        let whole = found.as_ref().is_some_and(|receiver| receiver.pid.is_some());
        let known = match self.known.remove(&flow) {
            Some(Known { named, receiver: Some(earlier), .. })
                if !whole && earlier.pid.is_some() && named.elapsed() < CLOSED =>
            {
                Known { asked: now, named, receiver: Some(earlier) }
            }
            _ => Known { asked: now, named: now, receiver: found },
        };
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let receiver = known.receiver.clone();
        self.known.insert(flow, known);
        receiver
    }
}

fn look(diag: &mut DiagSocket, flow: Flow, name: Option<&str>, processes: &mut Processes) -> Option<Receiver> {
    let Flow { transport, local, remote, device, .. } = flow;
    let socket = diag.receiver(transport, local, remote, device).ok()?;
    // Nothing, or TIME_WAIT: the connection is over, as short ones are when they are asked for; or not accepted yet.
    let nobodys = transport == Transport::Tcp && socket.is_none_or(|socket| socket.inode.is_none());
    let nobody = SocketAddr::new(unspecified(remote.ip()), 0);
    let listener = if nobodys { diag.receiver(transport, local, nobody, device).ok().flatten() } else { None };
    let InetSocket { local, inode, .. } = socket.or(listener)?;
    let process = listener.and_then(|listener| listener.inode).or(inode).and_then(|inode| processes.of(inode));
    Some(Receiver {
        proto: transport.name().to_owned(),
        address: Some(local.ip().to_canonical().to_string()),
        port: Some(local.port()),
        inode: if listener.is_some() { None } else { inode },
        process: process.map(|process| process.name.clone()),
        pid: process.map(|process| process.pid),
        by_listener: listener.is_some(),
        netns: name.map(str::to_owned),
        kernel: false,
    })
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
