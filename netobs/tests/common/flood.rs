//! Many packets that each begin a flow, from inside a namespace, as many as asked and no more.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;

use netobs::netns::{Netns, in_netns};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket};

/// The first source port of a flood.
const FIRST_PORT: u16 = 1024;

/// Sends that many TCP SYNs from `source` to `target`, each of another port, and returns when the last is sent. Nothing
/// is answered or repeated: whoever sends them has no socket for them. Every packet arrives, as a veth hands each over
/// before it takes the next.
#[track_caller]
pub fn syn_flood(netns: &Netns, source: Ipv4Addr, target: SocketAddrV4, flows: u16) {
    assert!(flows <= u16::MAX - FIRST_PORT, "there are not so many ports");
    in_netns(netns, || {
        let socket = socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw).unwrap();
        let address = SockaddrIn::from(target);
        for port in FIRST_PORT..FIRST_PORT + flows {
            let packet = syn(SocketAddrV4::new(source, port), target);
            sendto(socket.as_raw_fd(), &packet, &address, MsgFlags::empty()).unwrap();
        }
    })
    .unwrap();
}

/// An IPv4 packet; the kernel fills in its length, id and checksum.
fn syn(from: SocketAddrV4, to: SocketAddrV4) -> Vec<u8> {
    let mut tcp = Vec::new();
    tcp.extend(from.port().to_be_bytes());
    tcp.extend(to.port().to_be_bytes());
    // Sequence and acknowledgement, five words of header and SYN, window, checksum, urgent pointer.
    tcp.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    let pseudo = [&from.ip().octets()[..], &to.ip().octets(), &[0, 6, 0, 20], &tcp].concat();
    let sum: u32 = pseudo.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
    tcp.splice(16..18, checksum.to_be_bytes());
    // Version and header length, no service, length, id, no fragment, 64 hops, TCP, checksum.
    let ip = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0];
    [&ip[..], &from.ip().octets(), &to.ip().octets(), &tcp].concat()
}
