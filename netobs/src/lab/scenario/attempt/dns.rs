//! One question to a name server. Any answer to it will do: what matters is the way there.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::super::check::Outcome;
use super::await_answer;

const PORT: u16 = 53;
/// Ours is the only question this socket asks.
const ID: u16 = 0x6e6f;
/// RFC 1035: recursion desired; one question.
const QUERY: [u8; 10] = [0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
/// RFC 1035: bytes before the question.
const HEADER: usize = 12;
/// Type A, class IN.
const ADDRESS: [u8; 4] = [0, 1, 0, 1];
/// RFC 1035: a label has at most 63 bytes.
const LABEL: usize = 63;

/// Asks `server` for the address of `name`, from the calling thread's namespace.
pub(super) fn look_up(name: &str, server: IpAddr, silence: Duration) -> io::Result<Outcome> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(SocketAddr::new(server, PORT))?;
    socket.send(&query(name)?)?;
    let is_answer = |answer: &[u8]| {
        let is_response = answer.get(2).is_some_and(|flags| flags & 0x80 != 0);
        answer.len() >= HEADER && answer.starts_with(&ID.to_be_bytes()) && is_response
    };
    await_answer(&socket, 512, silence, is_answer)
}

fn query(name: &str) -> io::Result<Vec<u8>> {
    let mut message = ID.to_be_bytes().to_vec();
    message.extend(QUERY);
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=LABEL).contains(&usize::from(*length)));
        message.push(length.ok_or_else(|| io::Error::other(format!("`{name}` is not a name")))?);
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(ADDRESS);
    Ok(message)
}
