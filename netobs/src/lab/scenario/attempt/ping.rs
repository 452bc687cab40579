//! One echo request with fragmentation forbidden, so that an MTU that is too small shows.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, setsockopt, socket};

use super::super::check::Outcome;
use super::await_answer;

/// RFC 792 and RFC 4443: type of an echo request and of its reply.
const ECHO4: (u8, u8) = (8, 0);
const ECHO6: (u8, u8) = (128, 129);
const HEADER: usize = 8;

/// Pings from the calling thread's namespace. What the kernel refuses, and what routers send back, is an error.
pub(super) fn ping(to: IpAddr, size: u16, source: Option<IpAddr>, silence: Duration) -> io::Result<Outcome> {
    let socket = open(to)?;
    if let Some(source) = source {
        bind(&socket, source)?;
    }
    let socket = UdpSocket::from(socket);
    // Only then does the kernel hand us the errors that routers send.
    socket.connect(SocketAddr::new(to, 0))?;
    let identifier = identifier(&socket);
    let request = request(to, identifier, size);
    socket.send(&request)?;
    await_answer(&socket, request.len() + 60, silence, |answer| is_answer(to, identifier, answer))
}

/// A raw socket in the clothes of a UDP socket: connecting, sending and receiving are the same calls.
fn open(to: IpAddr) -> io::Result<OwnedFd> {
    let (family, protocol) = match to {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    match to {
        IpAddr::V4(_) => {
            setsockopt(&socket, Ipv4RecvErr, &true)?;
            discover_path_mtu(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO)?;
        }
        IpAddr::V6(_) => {
            setsockopt(&socket, Ipv6RecvErr, &true)?;
            discover_path_mtu(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO)?;
        }
    }
    Ok(socket)
}

fn discover_path_mtu(socket: &OwnedFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(4);
    // SAFETY: the option's value is an integer of that length, which outlives the call.
    let status = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn bind(socket: &OwnedFd, source: IpAddr) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    match source {
        IpAddr::V4(source) => nix::sys::socket::bind(fd, &SockaddrIn::from(SocketAddrV4::new(source, 0)))?,
        IpAddr::V6(source) => nix::sys::socket::bind(fd, &SockaddrIn6::from(SocketAddrV6::new(source, 0, 0, 0)))?,
    }
    Ok(())
}

/// Raw sockets see each other's answers; the descriptor and the process tell ours from the rest.
fn identifier(socket: &UdpSocket) -> u16 {
    let mixed = std::process::id().wrapping_mul(31).wrapping_add(socket.as_raw_fd().unsigned_abs());
    u16::try_from(mixed & 0xffff).unwrap_or_default()
}

fn request(to: IpAddr, identifier: u16, size: u16) -> Vec<u8> {
    let kind = if to.is_ipv4() { ECHO4.0 } else { ECHO6.0 };
    let [high, low] = identifier.to_be_bytes();
    let mut message = vec![kind, 0, 0, 0, high, low, 0, 1];
    message.resize(HEADER + usize::from(size), 0);
    if to.is_ipv4() {
        // The kernel fills in ICMPv6's checksum, not ICMP's. All but the header is zero.
        let sum = (u32::from(kind) << 8) + u32::from(identifier) + 1;
        let folded = !((sum & 0xffff) + (sum >> 16));
        let [_, _, high, low] = folded.to_be_bytes();
        if let Some(checksum) = message.get_mut(2..4) {
            checksum.copy_from_slice(&[high, low]);
        }
    }
    message
}

/// A raw IPv4 socket hands out the IP header, too.
fn is_answer(from: IpAddr, identifier: u16, received: &[u8]) -> bool {
    let (message, kind) = if from.is_ipv4() {
        let header = received.first().map_or(0, |first| usize::from(first & 0xf) * 4);
        (received.get(header..).unwrap_or_default(), ECHO4.1)
    } else {
        (received, ECHO6.1)
    };
    message.first() == Some(&kind) && message.get(4..6) == Some(&identifier.to_be_bytes())
}
