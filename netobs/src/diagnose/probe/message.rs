//! The bytes that are sent. They say who sent them: somebody may wonder about them in a capture.

use std::net::IpAddr;

use etherparse::{IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type};

/// What every payload begins with, as far as there is room.
const SIGNATURE: &[u8] = b"netobs diagnose ";
/// The port of the domain name system.
const DNS: u16 = 53;

/// An echo request with so many bytes of payload.
pub(super) fn echo_request(to: IpAddr, identifier: u16, sequence: u16, payload: usize) -> Vec<u8> {
    let payload = filler(payload);
    let echo = IcmpEchoHeader { id: identifier, seq: sequence };
    let header = match to {
        IpAddr::V4(_) => {
            Icmpv4Header::with_checksum(Icmpv4Type::EchoRequest(echo), &payload).to_bytes().as_slice().to_vec()
        }
        // The kernel fills in ICMPv6's checksum, which the addresses are part of.
        IpAddr::V6(_) => Icmpv6Header::new(Icmpv6Type::EchoRequest(echo)).to_bytes().as_slice().to_vec(),
    };
    [header, payload].concat()
}

/// Whether a raw socket received the answer. In IPv4 it hands out the IP header, too.
pub(super) fn is_echo_reply(from: IpAddr, identifier: u16, received: &[u8]) -> bool {
    let (message, reply) = match from {
        IpAddr::V4(_) => {
            let header = received.first().map_or(0, |first| usize::from(first & 0xf) * 4);
            (received.get(header..).unwrap_or_default(), etherparse::icmpv4::TYPE_ECHO_REPLY)
        }
        IpAddr::V6(_) => (received, etherparse::icmpv6::TYPE_ECHO_REPLY),
    };
    message.first() == Some(&reply) && message.get(4..6) == Some(&identifier.to_be_bytes())
}

/// A datagram: to a name server a question it can answer, to anybody else nothing that means anything.
pub(super) fn datagram(port: u16, identity: u16, payload: usize) -> Vec<u8> {
    if port == DNS && payload < SIGNATURE.len() { question(identity) } else { filler(payload) }
}

/// Who the name servers of the root are (RFC 1035): every server can answer that, if only by refusing to.
fn question(identity: u16) -> Vec<u8> {
    let mut message = identity.to_be_bytes().to_vec();
    // Recursion desired; one question; the root's name; type NS, class IN.
    message.extend([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1]);
    message
}

fn filler(length: usize) -> Vec<u8> {
    SIGNATURE.iter().copied().cycle().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_told_from_a_request_and_from_anothers() {
        let from = IpAddr::from([10, 40, 0, 3]);
        let mut received = vec![0x45; 20];
        received.extend(echo_request(from, 7, 1, 32));
        assert!(!is_echo_reply(from, 7, &received), "our own request");
        received[20] = 0;
        assert!(is_echo_reply(from, 7, &received));
        assert!(!is_echo_reply(from, 8, &received), "another's");
        assert!(!is_echo_reply(from, 7, &received[..21]), "cut short");
    }

    #[test]
    fn the_checksum_of_an_echo_is_right() {
        let bytes = echo_request(IpAddr::from([10, 40, 0, 3]), 7, 1, 33);
        let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
        let sum: u32 = words.sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }
}
