//! Whether anybody takes the packet where it arrives.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::resolver;
use crate::diagnose::gate::Traveller;
use crate::diagnose::typed::in_netns;
use crate::diagnose::{Culprit, Endpoint, Finding, Force, Protocol, Rung};
use crate::evidence::Processes;
use crate::netlink::{self, DiagSocket, Ifindex, InetSocket, Transport};
use crate::netns::Netns;

/// Other listeners named.
const NAMED: usize = 6;

/// A packet that has arrived at an address of the namespace's own.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The name that netobs has for the namespace.
    pub netns: &'a str,
    /// The namespace.
    pub handle: &'a Netns,
    /// The packet, as it comes to the sockets.
    pub traveller: &'a Traveller,
    /// The device that it came in by.
    pub device: Option<Ifindex>,
    /// Containers for which this namespace forwards. To them a rule could lead the packet on.
    pub behind: &'a [Behind<'a>],
    /// Who asks.
    pub from: &'a Endpoint,
}

/// A namespace for which another forwards.
#[derive(Clone, Copy, Debug)]
pub struct Behind<'a> {
    /// Its name.
    pub netns: &'a str,
    /// The namespace.
    pub handle: &'a Netns,
    /// Its address on the link between them.
    pub address: IpAddr,
}

/// A socket that waits, and whose it is.
struct Waiting {
    local: SocketAddr,
    process: Option<String>,
    /// Connections that wait to be accepted, and how many may.
    queue: (u32, u32),
}

/// Looks for a socket that takes the packet. Pings are answered by the kernel.
///
/// # Errors
/// The namespace cannot be looked into, or its kernel does not list sockets.
pub fn listener(arrival: &Arrival<'_>, processes: &mut Processes) -> netlink::Result<Option<Finding>> {
    let transport = match arrival.traveller.protocol() {
        Protocol::Icmp => return Ok(None),
        Protocol::Tcp => Transport::Tcp,
        Protocol::Udp => Transport::Udp,
    };
    let tuple = arrival.traveller.tuple();
    let (Some(address), Some(port)) = (tuple.dst, tuple.dport) else { return Ok(None) };
    let mut diag = DiagSocket::open_in(arrival.handle)?;
    let local = SocketAddr::new(address, port);
    let remote = SocketAddr::new(tuple.src.unwrap_or(unspecified(address)), tuple.sport.unwrap_or_default());
    // A TCP connection that is being asked about is none yet: only a listening socket takes it.
    let nobody = SocketAddr::new(unspecified(address), 0);
    let asked = if transport == Transport::Tcp { nobody } else { remote };
    if let Some(socket) = diag.receiver(transport, local, asked, arrival.device)? {
        let full = transport == Transport::Tcp && socket.waiting > socket.backlog;
        return Ok(full.then(|| accepts_nobody(arrival, &waits(socket, processes))));
    }
    let mut all = waiting(&mut diag, transport, processes)?;
    // The look-up by tuple can miss what the list has: a socket bound to a device that is not told apart here.
    if all.iter().any(|socket| takes(socket.local, local)) {
        return Ok(None);
    }
    all.sort_by_key(|socket| (socket.local.port(), socket.local.ip()));
    all.dedup_by_key(|socket| (socket.local.port(), socket.process.clone(), socket.local.ip().is_loopback()));
    Ok(Some(told(arrival, transport, local, &all, processes)))
}

fn told(
    arrival: &Arrival<'_>,
    transport: Transport,
    local: SocketAddr,
    all: &[Waiting],
    processes: &mut Processes,
) -> Finding {
    let netns = arrival.netns;
    let (proto, port, address) = (transport.name(), local.port(), local.ip());
    let (on_port, others): (Vec<_>, Vec<_>) = all.iter().partition(|socket| socket.local.port() == port);
    let refused = match transport {
        Transport::Tcp => "the connection is refused",
        Transport::Udp => "the sender is told that the port is unreachable",
    };
    let mut evidence = vec![format!("no {proto} socket in {netns} takes packets for {local}")];
    let finding = |cause, rung, sentence: String, evidence, fix, hints| Finding {
        cause,
        rung,
        force: Force::Stops,
        sentence,
        culprit: Culprit { netns: Some(netns.to_owned()), what: format!("nobody listens on {proto} {local}") },
        evidence,
        fix,
        hints,
    };
    if resolver::is_asked(arrival.from, address, port) {
        return resolver::silent(
            arrival.from,
            local,
            &format!("nobody listens on {proto} port {port} in {netns}"),
            evidence,
        );
    }
    if let Some(only) = on_port.first() {
        let who = only.process.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        let bound = only.local;
        evidence.push(format!("{proto} port {port} in {netns} is listened to on {bound}{who}"));
        let cause = if bound.ip().is_loopback() { "listener-on-loopback" } else { "listener-elsewhere" };
        return finding(
            cause,
            Rung::Listener,
            format!("In {netns} {proto} port {port} is listened to on {bound} only, not on {address}: {refused}."),
            evidence,
            vec![format!("# in {netns}: let the service{who} listen on {} or 0.0.0.0, not on {}", address, bound.ip())],
            vec![format!(
                "what listens there: {}",
                in_netns(netns, &format!("ss -ln{} '( sport = :{port} )'", flag(transport)))
            )],
        );
    }
    evidence.push(match named(&others) {
        others if others.is_empty() => format!("no {proto} port at all is listened to in {netns}"),
        others => format!("{proto} ports that are listened to in {netns}: {others}"),
    });
    let look = format!("what listens there: {}", in_netns(netns, &format!("ss -ln{}p", flag(transport))));
    if arrival.is_for_the_host() {
        let (target, candidates) = arrival.targets(transport, port, processes);
        evidence.extend(candidates);
        let dnat = format!(
            "iptables -t nat -A PREROUTING -d {address} -p {proto} --dport {port} -j DNAT --to-destination {target}"
        );
        return finding(
            "port-not-published",
            Rung::Nat,
            format!(
                "{netns} has no rule that leads {proto} port {port} on to a container, and nobody listens on that port in \
                 {netns} itself: the port is not published, and {refused}."
            ),
            evidence,
            vec![in_netns(netns, &dnat)],
            vec!["with Docker: docker run --publish HOST:CONTAINER makes this rule".to_owned(), look],
        );
    }
    finding(
        "no-listener",
        Rung::Listener,
        format!("The packet reaches {netns}, but nobody listens on {proto} port {port} there: {refused}."),
        evidence,
        vec![format!("# in {netns}: start the service that is to listen on {proto} port {port}")],
        vec![look],
    )
}

/// The service is there and does not take what waits for it.
fn accepts_nobody(arrival: &Arrival<'_>, socket: &Waiting) -> Finding {
    let netns = arrival.netns;
    let (waiting, backlog) = socket.queue;
    let who = socket.process.clone().unwrap_or_else(|| "The service".to_owned());
    let port = socket.local.port();
    let look = in_netns(netns, &format!("ss -lntp '( sport = :{port} )'"));
    Finding {
        cause: "accept-queue-full",
        rung: Rung::Listener,
        force: Force::Stops,
        sentence: format!(
            "{who} listens on tcp port {port} in {netns}, but does not accept its connections: {waiting} wait, and no \
             more than {backlog} should, so that the kernel drops each new one."
        ),
        culprit: Culprit {
            netns: Some(netns.to_owned()),
            what: format!("tcp {}: {waiting} connections wait", socket.local),
        },
        evidence: vec![format!("the queue of {} in {netns} holds {waiting} connections, of {backlog}", socket.local)],
        fix: vec![format!("# in {netns}: see why the service does not answer, or start it again")],
        hints: vec![
            format!("Recv-Q and Send-Q of the listening socket: {look}"),
            "a port that is listened to is not yet a service that works".to_owned(),
        ],
    }
}

impl Arrival<'_> {
    /// It came to the address that was asked for, without any rule, in a namespace that forwards for others.
    fn is_for_the_host(&self) -> bool {
        let untouched = self.traveller.flow().is_none_or(|flow| flow.orig.dst == self.traveller.tuple().dst);
        untouched && !self.behind.is_empty()
    }

    /// Where a published port could lead: the one that listens on the same port, or the first that listens at all.
    fn targets(&self, transport: Transport, port: u16, processes: &mut Processes) -> (String, Vec<String>) {
        let (mut targets, mut evidence) = (Vec::new(), Vec::new());
        for behind in self.behind {
            let Ok(mut diag) = DiagSocket::open_in(behind.handle) else { continue };
            let mut found = waiting(&mut diag, transport, processes).unwrap_or_default();
            found.retain(|socket| !socket.local.ip().is_loopback());
            found.sort_by_key(|socket| (socket.local.port() != port, socket.local.port()));
            if let Some(first) = found.first() {
                targets.push((first.local.port() != port, SocketAddr::new(behind.address, first.local.port())));
                let all: Vec<_> = found.iter().collect();
                evidence.push(format!(
                    "behind it, {} listens on {} port {}",
                    behind.netns,
                    transport.name(),
                    named(&all)
                ));
            }
        }
        targets.sort();
        let target = targets.first().map_or_else(|| "CONTAINER:PORT".to_owned(), |(_, target)| target.to_string());
        (target, evidence)
    }
}

fn waiting(diag: &mut DiagSocket, transport: Transport, processes: &mut Processes) -> netlink::Result<Vec<Waiting>> {
    let sockets = diag.listeners(transport)?;
    Ok(sockets.into_iter().map(|socket| waits(socket, processes)).collect())
}

fn waits(socket: InetSocket, processes: &mut Processes) -> Waiting {
    let InetSocket { local, inode, waiting, backlog, .. } = socket;
    Waiting {
        local: SocketAddr::new(local.ip().to_canonical(), local.port()),
        process: inode.and_then(|inode| processes.of(inode)).map(|process| process.name.clone()),
        queue: (waiting, backlog),
    }
}

/// Whether a socket bound so gets packets for an address: `::` takes IPv4 too, unless told not to.
fn takes(bound: SocketAddr, local: SocketAddr) -> bool {
    let ip = bound.ip();
    let any = ip.is_unspecified() && (ip.is_ipv6() || local.is_ipv4());
    bound.port() == local.port() && (any || ip == local.ip())
}

/// `80 (nginx), 8000 (python3) and 3 more`
fn named(sockets: &[&Waiting]) -> String {
    let mut names: Vec<String> = Vec::new();
    for socket in sockets {
        let who = socket.process.as_ref().map(|process| format!(" ({process})")).unwrap_or_default();
        let only = if socket.local.ip().is_loopback() { " on loopback" } else { "" };
        let name = format!("{}{who}{only}", socket.local.port());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

fn flag(transport: Transport) -> char {
    match transport {
        Transport::Tcp => 't',
        Transport::Udp => 'u',
    }
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
