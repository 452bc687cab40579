//! The sockets of a namespace, asked of the kernel's sock_diag as `ss` does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::message::{DATAGRAM, Message, Messages, NLMSG_DONE, NLMSG_ERROR};
use super::request::{decode, encode};
use super::{Error, Ifindex, Result};
use crate::netns::{Netns, in_netns};

/// `INET_DIAG_NOCOOKIE`: any socket that fits.
const ANY_COOKIE: [u8; 8] = [0xff; 8];

/// Transports that have ports, and that sock_diag knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `IPPROTO_TCP`
    Tcp,
    /// `IPPROTO_UDP`
    Udp,
}

impl Transport {
    /// The name used in JSON and text.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

/// A TCP or UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InetSocket {
    /// Where it is bound; an unspecified address means all.
    pub local: SocketAddr,
    /// What it is connected to; `None` if it is not.
    pub remote: Option<SocketAddr>,
    /// Its inode, by which `/proc/PID/fd` names it; `None` of one that no process has any more, such as TIME_WAIT.
    pub inode: Option<u32>,
    /// The user who made it.
    pub uid: u32,
    /// Bytes that wait to be read; of a listening TCP socket, connections that wait to be accepted.
    pub waiting: u32,
    /// Of a listening TCP socket, how many connections may wait; when more do, no other is let in (`sk_acceptq_is_full`).
    pub backlog: u32,
}

/// A connection to sock_diag in one namespace.
#[derive(Debug)]
pub struct DiagSocket {
    inner: netlink_sys::Socket,
    sequence: u32,
}

impl DiagSocket {
    /// Opens a socket that belongs to `netns`. Fails where the kernel was built without `INET_DIAG`.
    pub fn open_in(netns: &Netns) -> Result<Self> {
        in_netns(netns, || {
            let open = || -> io::Result<netlink_sys::Socket> {
                let socket = netlink_sys::Socket::new(NETLINK_SOCK_DIAG)?;
                socket.connect(&netlink_sys::SocketAddr::new(0, 0))?;
                Ok(socket)
            };
            Ok(Self { inner: open().map_err(Error::Open)?, sequence: 0 })
        })?
    }

    /// Every socket that waits for what it did not ask for: listening TCP sockets, UDP sockets that are not connected.
    pub fn listeners(&mut self, transport: Transport) -> Result<Vec<InetSocket>> {
        let mut found = Vec::new();
        for any in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
            let states = match transport {
                Transport::Tcp => StateFlags::LISTEN,
                // TCP_CLOSE: what UDP calls a socket that is not connected.
                Transport::Udp => StateFlags::CLOSE,
            };
            let request = request(transport, states, SocketAddr::new(any, 0), SocketAddr::new(any, 0), None);
            let what = format!("list {} sockets", transport.name());
            self.ask(&what, request, NLM_F_DUMP)?;
            self.answers(&what, |message| {
                found.extend(socket(decode(&what, message)?));
                Ok(false)
            })?;
        }
        Ok(found)
    }

    /// The socket that the kernel itself would give a packet to, that came in by `device` from `remote` for `local`.
    pub fn receiver(
        &mut self,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
        device: Option<Ifindex>,
    ) -> Result<Option<InetSocket>> {
        let (source, destination) = match transport {
            Transport::Tcp => (local, remote),
            // udp_dump_one looks up what it is given as a packet has it, source first (udp_diag.c).
            Transport::Udp => (remote, local),
        };
        let what = format!("look up the {} socket on {local}", transport.name());
        self.ask(&what, request(transport, StateFlags::all(), source, destination, device), 0)?;
        let mut found = None;
        let asked = self.answers(&what, |message| {
            found = socket(decode(&what, message)?);
            Ok(true)
        });
        match asked {
            Err(error) if error.errno() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Ok(found.filter(|socket| socket.local.port() == local.port())),
        }
    }

    fn ask(&mut self, what: &str, request: InetRequest, flags: u16) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut datagram = Vec::new();
        encode(SockDiagMessage::InetRequest(request), NLM_F_REQUEST | flags, self.sequence, &mut datagram);
        let failed = |source| Error::Transport { what: what.to_owned(), call: "send", source };
        self.inner.send(&datagram, 0).map(drop).map_err(failed)
    }

    /// Hands on each answer until `take` has what it wants, or there are no more.
    fn answers(&mut self, what: &str, mut take: impl FnMut(&Message<'_>) -> Result<bool>) -> Result<()> {
        let failed = |source| Error::Transport { what: what.to_owned(), call: "receive", source };
        loop {
            let mut datagram = Vec::with_capacity(DATAGRAM);
            match self.inner.recv(&mut datagram, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.map_err(failed)?,
            };
            for message in Messages(&datagram).filter(|message| message.sequence == self.sequence) {
                match message.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => message.answer(what)?,
                    _ if take(&message)? => return Ok(()),
                    _ => {}
                }
            }
        }
    }
}

fn request(
    transport: Transport,
    states: StateFlags,
    source: SocketAddr,
    destination: SocketAddr,
    device: Option<Ifindex>,
) -> InetRequest {
    let family = if source.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    InetRequest {
        family: family.to_le_bytes().first().copied().unwrap_or_default(),
        protocol: transport.number(),
        extensions: ExtensionFlags::empty(),
        states,
        socket_id: SocketId {
            source_port: source.port(),
            destination_port: destination.port(),
            source_address: source.ip(),
            destination_address: destination.ip(),
            interface_id: device.map_or(0, |device| device.0),
            cookie: ANY_COOKIE,
        },
    }
}

fn socket(message: SockDiagMessage) -> Option<InetSocket> {
    let SockDiagMessage::InetResponse(response) = message else { return None };
    let InetResponse { header, .. } = *response;
    let id = header.socket_id;
    Some(InetSocket {
        local: SocketAddr::new(id.source_address, id.source_port),
        remote: (id.destination_port != 0).then_some(SocketAddr::new(id.destination_address, id.destination_port)),
        inode: (header.inode != 0).then_some(header.inode),
        uid: header.uid,
        waiting: header.recv_queue,
        backlog: header.send_queue,
    })
}
