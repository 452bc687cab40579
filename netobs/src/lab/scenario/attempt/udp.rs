//! Datagrams that are answered one by one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::super::check::Outcome;
use crate::netns::{Netns, in_netns};

/// How often the server looks whether it is needed any more.
const BEAT: Duration = Duration::from_millis(20);

/// Sends a datagram from each of `flows` ports to a server that runs in `at` meanwhile.
pub(super) fn ask(from: &Netns, at: &Netns, to: SocketAddr, flows: u16, silence: Duration) -> io::Result<Outcome> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let open = || -> io::Result<Vec<UdpSocket>> {
        let one = |_| {
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(to)?;
            Ok(socket)
        };
        (0..flows).map(one).collect()
    };
    let sockets = in_netns(from, open).map_err(io::Error::other)??;
    answered(at, to, || converse(&sockets, silence))?
}

/// Does `work` while a server in `at` answers whatever comes to `to`.
pub(in super::super) fn answered<T>(at: &Netns, to: SocketAddr, work: impl FnOnce() -> T) -> io::Result<T> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // From the very address that was asked, if the node has it: on the way back NAT may stand between.
    let listen = || UdpSocket::bind(to).or_else(|_| UdpSocket::bind((any, to.port())));
    let server = in_netns(at, listen).map_err(io::Error::other)??;
    server.set_read_timeout(Some(BEAT))?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut datagram = [0; 64];
            while !done.load(Ordering::Relaxed) {
                if let Ok((length, client)) = server.recv_from(&mut datagram) {
                    let _ = server.send_to(datagram.get(..length).unwrap_or_default(), client);
                }
            }
        });
        let outcome = work();
        done.store(true, Ordering::Relaxed);
        Ok(outcome)
    })
}

/// All are sent first, so that the flows are there at the same time.
fn converse(sockets: &[UdpSocket], silence: Duration) -> io::Result<Outcome> {
    let mut refused = None;
    let mut waiting = Vec::new();
    for socket in sockets {
        match socket.send(b"?") {
            Ok(_) => waiting.push(socket),
            Err(error) => refused = Some(error),
        }
    }
    let end = Instant::now() + silence;
    let mut answered = 0;
    for socket in waiting {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut [0; 64]) {
            Ok(_) => answered += 1,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => refused = Some(error),
        }
    }
    match (answered, refused) {
        (all, None) if all == sockets.len() => Ok(Outcome::Answered),
        (0, Some(error)) => Err(error),
        (0, None) => Ok(Outcome::Silence),
        _ => Ok(Outcome::PartlyAnswered),
    }
}
