//! Pings from inside the nodes: proof that neighbours find each other, and the entries in their tables that spare the
//! user's first packet the wait.

use std::ffi::OsString;
use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::BindToDevice;

use crate::netlink::Ifindex;
use crate::netns::{Netns, in_netns};

// RFC 792, RFC 4443: type of an echo request and its reply.
const ECHO4: (u8, u8) = (8, 0);
const ECHO6: (u8, u8) = (128, 129);

/// One ping that is sent until it is answered.
#[derive(Debug)]
pub(super) struct Probe {
    /// Whom it is sent to, for people.
    pub(super) to: IpAddr,
    socket: OwnedFd,
    /// The link a link-local address is reached by.
    scope: Ifindex,
    /// Tells the answers of probes that share a namespace apart.
    identifier: u16,
}

impl Probe {
    /// A probe that leaves by device `by` of namespace `from`, whatever the routes say.
    pub(super) fn new(from: &Netns, by: &str, to: IpAddr, scope: Ifindex, identifier: u16) -> io::Result<Self> {
        let (family, protocol) = match to {
            IpAddr::V4(_) => (libc::AF_INET, libc::IPPROTO_ICMP),
            IpAddr::V6(_) => (libc::AF_INET6, libc::IPPROTO_ICMPV6),
        };
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let open = || {
            // SAFETY: socket(2) takes integers only.
            let fd: RawFd = unsafe { libc::socket(family, kind, protocol) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: checked to be a new descriptor that nobody else has.
            let socket = unsafe { OwnedFd::from_raw_fd(fd) };
            setsockopt(&socket, BindToDevice, &OsString::from(by))?;
            Ok(socket)
        };
        let socket = in_netns(from, open).map_err(io::Error::other)??;
        Ok(Self { to, socket, scope, identifier })
    }

    /// Sends a request. Failing is part of not being ready: the network may be unreachable for another moment.
    pub(super) fn send(&self) {
        let mut request = [0u8; 8];
        let kind = if self.to.is_ipv4() { ECHO4.0 } else { ECHO6.0 };
        let [high, low] = self.identifier.to_be_bytes();
        request[0] = kind;
        [request[4], request[5]] = [high, low];
        // The kernel fills in ICMPv6's checksum, not ICMP's.
        let sum = u32::from(u16::from(kind) << 8) + u32::from(self.identifier);
        let folded = !((sum & 0xffff) + (sum >> 16));
        let [_, _, high, low] = folded.to_be_bytes();
        [request[2], request[3]] = [high, low];
        match self.to {
            IpAddr::V4(to) => self.send_to(&request, &socket_address_v4(to)),
            IpAddr::V6(to) => self.send_to(&request, &socket_address_v6(to, self.scope)),
        }
    }

    fn send_to<A>(&self, request: &[u8], to: &A) {
        let length = libc::socklen_t::try_from(size_of::<A>()).unwrap_or_default();
        // SAFETY: both buffers are as long as said and outlive the call; `A` is the family's own address structure.
        unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                request.as_ptr().cast(),
                request.len(),
                0,
                std::ptr::from_ref(to).cast(),
                length,
            );
        }
    }

    /// Whether the answer has come. Never waits.
    pub(super) fn is_answered(&self) -> bool {
        let mut datagram = [0u8; 256];
        loop {
            // SAFETY: the kernel writes at most the buffer's length to the buffer, which outlives the call.
            let length = unsafe {
                libc::recv(self.socket.as_raw_fd(), datagram.as_mut_ptr().cast(), datagram.len(), libc::MSG_DONTWAIT)
            };
            let Ok(length) = usize::try_from(length) else { return false };
            if datagram.get(..length).is_some_and(|received| self.is_answer(received)) {
                return true;
            }
        }
    }

    /// A raw socket sees all of its protocol's packets, in IPv4 with their IP header.
    fn is_answer(&self, received: &[u8]) -> bool {
        let (message, kind) = if self.to.is_ipv4() {
            let header = received.first().map_or(0, |first| usize::from(first & 0xf) * 4);
            (received.get(header..).unwrap_or_default(), ECHO4.1)
        } else {
            (received, ECHO6.1)
        };
        message.first() == Some(&kind) && message.get(4..6) == Some(&self.identifier.to_be_bytes())
    }
}

fn socket_address_v4(to: Ipv4Addr) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: u16::try_from(libc::AF_INET).unwrap_or_default(),
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.octets()) },
        sin_zero: [0; 8],
    }
}

fn socket_address_v6(to: Ipv6Addr, scope: Ifindex) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: u16::try_from(libc::AF_INET6).unwrap_or_default(),
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: to.octets() },
        sin6_scope_id: scope.0,
    }
}
