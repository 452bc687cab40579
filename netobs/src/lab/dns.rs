//! The smallest name server that is one: it knows the lab's nodes, and of every other name that there is none.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::socket::sockopt::Ipv4PacketInfo;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt};

// RFC 1035
const HEADER: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];
const TYPE_ANY: [u8; 2] = [0, 255];
const CLASS_IN: [u8; 2] = [0, 1];
const IS_ANSWER: u8 = 0x80;
const RECURSION_DESIRED: u8 = 0x01;
const AUTHORITATIVE: u8 = 0x04;
const NO_SUCH_NAME: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;
/// Where the question's name stands, for an answer to point at.
const POINTER_TO_QUESTION: [u8; 2] = [0xc0, HEADER as u8];
/// Seconds that an answer may be remembered: a lab changes all the time.
const LIFETIME: u32 = 1;
const LARGEST: usize = 512;

/// Names and their addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(BTreeMap<String, Ipv4Addr>);

impl Names {
    /// From the text of `/etc/hosts`.
    pub(super) fn of_hosts(hosts: &str) -> Self {
        let entry = |line: &str| {
            let (address, name) = line.split_once(' ')?;
            Some((name.trim().to_ascii_lowercase(), address.parse().ok()?))
        };
        Self(hosts.lines().filter_map(entry).collect())
    }
}

/// Answers on `socket`, which is an IPv4 one, from a thread of its own, until stopped.
pub(super) fn serve(socket: UdpSocket, names: Names, stopped: Arc<AtomicBool>) -> io::Result<()> {
    setsockopt(&socket, Ipv4PacketInfo, &true)?;
    let answer_all = move || {
        while !stopped.load(Ordering::Relaxed) {
            // An earlier answer may have met a closed port.
            if answer_one(&socket, &names).is_err() {
                thread::sleep(Duration::from_millis(1));
            }
        }
    };
    thread::Builder::new().name("dns".to_owned()).spawn(answer_all).map(drop)
}

/// Answers from the very address that was asked: the route back may start at another.
fn answer_one(socket: &UdpSocket, names: &Names) -> nix::Result<()> {
    let mut datagram = [0; LARGEST];
    let mut room = nix::cmsg_space!(libc::in_pktinfo);
    let (length, client, asked) = {
        let mut into = [IoSliceMut::new(&mut datagram)];
        let received = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut into, Some(&mut room), MsgFlags::empty())?;
        let asked = received.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(info),
            _ => None,
        });
        (received.bytes, received.address, asked)
    };
    let answer = datagram.get(..length).and_then(|question| answer(question, names));
    let (Some(answer), Some(client), Some(asked)) = (answer, client, asked) else { return Ok(()) };
    let source = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: asked.ipi_addr, ipi_addr: asked.ipi_addr };
    let control = [ControlMessage::Ipv4PacketInfo(&source)];
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(&answer)], &control, MsgFlags::empty(), Some(&client)).map(drop)
}

/// The answer to one question; `None` to what is none.
fn answer(question: &[u8], names: &Names) -> Option<Vec<u8>> {
    let flags = *question.get(2)?;
    if flags & IS_ANSWER != 0 || question.get(4..6)? != [0, 1] {
        return None;
    }
    let (name, end) = name(question)?;
    let asked: [u8; 2] = question.get(end..end + 2)?.try_into().ok()?;
    let class: [u8; 2] = question.get(end + 2..end + 4)?.try_into().ok()?;
    let known = names.0.get(&name).filter(|_| class == CLASS_IN);
    // Bits 3 to 6 are the kind of query; 0 is the ordinary one.
    let code = match (flags & 0x78, known) {
        (0, Some(_)) => 0,
        (0, None) => NO_SUCH_NAME,
        _ => NOT_IMPLEMENTED,
    };
    let address = known.filter(|_| code == 0 && [TYPE_A, TYPE_ANY].contains(&asked));
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([IS_ANSWER | AUTHORITATIVE | (flags & RECURSION_DESIRED), code]);
    answer.extend([0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    answer.extend(question.get(HEADER..end + 4)?);
    if let Some(address) = address {
        answer.extend(POINTER_TO_QUESTION);
        answer.extend(TYPE_A);
        answer.extend(CLASS_IN);
        answer.extend(LIFETIME.to_be_bytes());
        answer.extend([0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

/// The question's name in lower case, and where it ends.
fn name(question: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        // Two upper bits: a pointer, which no question needs.
        match length {
            0 => return Some((labels.join("."), at)),
            1..=63 => labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_ascii_lowercase()),
            _ => return None,
        }
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::{Names, answer};

    fn ask(name: &str, kind: u8) -> Vec<u8> {
        let mut question = vec![7, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            question.push(u8::try_from(label.len()).unwrap());
            question.extend(label.bytes());
        }
        question.extend([0, 0, kind, 0, 1]);
        question
    }

    #[test]
    fn knows_the_nodes_and_nobody_else() {
        let names = Names::of_hosts("127.0.0.1 localhost\n::1 localhost\n10.40.0.2 c1\n");
        let found = answer(&ask("C1", 1), &names).unwrap();
        assert_eq!((found[0], found[1], found[3]), (7, 8, 0));
        assert_eq!(found[found.len() - 4..], [10, 40, 0, 2]);
        // There is no IPv6 address, but there is such a name.
        let none = answer(&ask("c1", 28), &names).unwrap();
        assert_eq!((none[3], none[7]), (0, 0));
        assert_eq!(answer(&ask("c9.example", 1), &names).unwrap()[3], 3);
        for broken in [&[][..], &[0; 12], &ask("c1", 1)[..16], &found] {
            assert_eq!(answer(broken, &names), None, "{broken:?}");
        }
    }
}
