//! The asked packet, sent for real from inside a namespace, and what comes back to its sender.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr, SocketError};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect,
    getsockopt, recvmsg, setsockopt, socket,
};

use super::super::{Protocol, Question};
use super::message;
use crate::netns::{Netns, in_netns};

/// Never fragment, and take no notice of a path MTU that was learnt before. IPv6 has the same number for it.
static PROBE: i32 = libc::IP_PMTUDISC_PROBE;

/// What the sender of a packet got back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// An answer of the other end.
    Answer,
    /// An error: of our own kernel, or one that a router or the other end sent.
    Error {
        /// As the system call has it.
        errno: Errno,
        /// Who sent it; `None` if our own kernel found out by itself, or has not said.
        by: Option<IpAddr>,
        /// Of a packet that was too large: what would have passed.
        mtu: Option<u32>,
    },
}

/// A socket in the sender's namespace.
pub(super) struct Sender {
    /// A UDP socket's calls suit all of them; what kind it is, is told by `protocol`.
    socket: UdpSocket,
    protocol: Protocol,
    to: SocketAddr,
    identity: u16,
}

impl Sender {
    /// Opens a socket that the kernel tells of every error. `identity` is the source port, or of an echo its identifier.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// What the kernel refuses: `ENETUNREACH` where there is no route, `EADDRINUSE` where the port is taken.
    pub(super) fn open(netns: &Netns, question: &Question, identity: u16, whole: bool) -> io::Result<Self> {
        let to = SocketAddr::new(question.to, question.port.unwrap_or_default());
        let protocol = question.protocol;
        let socket = in_netns(netns, || open(protocol, to, identity, whole)).map_err(io::Error::other)??;
        Ok(Self { socket: UdpSocket::from(socket), protocol, to, identity })
    }

    /// Sends one. Of TCP that is the attempt to connect, and only the first call does anything.
    pub(super) fn send(&self, sequence: u16, payload: usize) -> io::Result<()> {
        match self.protocol {
            Protocol::Icmp => {
                self.socket.send(&message::echo_request(self.to.ip(), self.identity, sequence, payload))?;
            }
            Protocol::Udp => {
                self.socket.send(&message::datagram(self.to.port(), self.identity, payload))?;
            }
            Protocol::Tcp if sequence == 1 => match connect_to(self.socket.as_raw_fd(), self.to) {
                Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
                other => other?,
            },
            Protocol::Tcp => {}
        }
        Ok(())
    }

    /// What has come back since the last call. Never waits.
    pub(super) fn poll(&self) -> Option<Reply> {
        self.queued_error().or_else(|| match self.protocol {
            Protocol::Tcp => self.connected(),
            Protocol::Icmp | Protocol::Udp => self.received(),
        })
    }

    /// The address that the kernel sends from.
    pub(super) fn source(&self) -> Option<IpAddr> {
        self.socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_unspecified())
    }

    fn connected(&self) -> Option<Reply> {
        let mut waiting = [PollFd::new(std::os::fd::AsFd::as_fd(&self.socket), PollFlags::POLLOUT)];
        if poll(&mut waiting, PollTimeout::ZERO).ok()? == 0 {
            return None;
        }
        match getsockopt(&self.socket, SocketError).ok()? {
            // Before it is connected a socket can be written to in no case.
            0 => self.socket.peer_addr().ok().map(|_| Reply::Answer),
            error => Some(Reply::Error { errno: Errno::from_raw(error), by: None, mtu: None }),
        }
    }

    fn received(&self) -> Option<Reply> {
        let mut buffer = vec![0; 65536];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    let is_answer = match self.protocol {
                        Protocol::Icmp => message::is_echo_reply(self.to.ip(), self.identity, bytes),
                        Protocol::Udp | Protocol::Tcp => true,
                    };
                    if is_answer {
                        return Some(Reply::Answer);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => return of_error(&error),
            }
        }
    }

    /// The socket's error queue says who sent an error.
    fn queued_error(&self) -> Option<Reply> {
        let mut buffer = [0; 512];
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let mut control = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let got = recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut slices, Some(&mut control), flags).ok()?;
        for message in got.cmsgs().ok()? {
            let (error, by) = match message {
                ControlMessageOwned::Ipv4RecvErr(error, by) => {
                    (error, by.map(|by| IpAddr::V4(Ipv4Addr::from(u32::from_be(by.sin_addr.s_addr)))))
                }
                ControlMessageOwned::Ipv6RecvErr(error, by) => {
                    (error, by.map(|by| IpAddr::V6(Ipv6Addr::from(by.sin6_addr.s6_addr))))
                }
                _ => continue,
            };
            let errno = Errno::from_raw(i32::try_from(error.ee_errno).unwrap_or_default());
            return Some(Reply::Error {
                errno,
                by: by.filter(|by| error.ee_origin != libc::SO_EE_ORIGIN_LOCAL && !by.is_unspecified()),
                mtu: (errno == Errno::EMSGSIZE).then_some(error.ee_info),
            });
        }
        None
    }
}

fn of_error(error: &io::Error) -> Option<Reply> {
    Some(Reply::Error { errno: Errno::from_raw(error.raw_os_error()?), by: None, mtu: None })
}

fn open(protocol: Protocol, to: SocketAddr, identity: u16, whole: bool) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let (kind, number) = match (protocol, to) {
        (Protocol::Icmp, SocketAddr::V4(_)) => (SockType::Raw, SockProtocol::Icmp),
        (Protocol::Icmp, SocketAddr::V6(_)) => (SockType::Raw, SockProtocol::IcmpV6),
        (Protocol::Tcp, _) => (SockType::Stream, SockProtocol::Tcp),
        (Protocol::Udp, _) => (SockType::Datagram, SockProtocol::Udp),
    };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, number)?;
    match to {
        SocketAddr::V4(_) => setsockopt(&socket, Ipv4RecvErr, &true)?,
        SocketAddr::V6(_) => setsockopt(&socket, Ipv6RecvErr, &true)?,
    }
    if whole {
        forbid_fragments(&socket, to)?;
    }
    if protocol != Protocol::Icmp {
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(any, identity)))?;
    }
    if protocol != Protocol::Tcp {
        connect_to(socket.as_raw_fd(), to)?;
    }
    Ok(socket)
}

fn connect_to(socket: i32, to: SocketAddr) -> io::Result<()> {
    // A raw socket has no ports, and the kernel wants none.
    Ok(connect(socket, &SockaddrStorage::from(to))?)
}

fn forbid_fragments(socket: &OwnedFd, to: SocketAddr) -> io::Result<()> {
    let (level, option) = match to {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
    };
    let length = libc::socklen_t::try_from(size_of_val(&PROBE)).unwrap_or(4);
    // SAFETY: the option's value is an integer of that length, which outlives the call.
    let status = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const PROBE).cast(), length) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
