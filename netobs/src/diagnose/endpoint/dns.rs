//! One question to a name server, and the address in its answer (RFC 1035, over UDP).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

const PORT: u16 = 53;
const HEADER: usize = 12;
/// Type A and AAAA.
const ADDRESS: [u8; 2] = [0, 1];
const ADDRESS6: [u8; 2] = [0, 28];
const INTERNET: [u8; 2] = [0, 1];
/// A label has at most 63 bytes, a name 255.
const LABEL: usize = 63;
const NAME: usize = 255;
const IS_ANSWER: u8 = 0x80;
const CODE: u8 = 0x0f;
const NO_SUCH_NAME: u8 = 3;

/// What a server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Here it is.
    Address(IpAddr),
    /// There is no such name, or it has no address.
    Nothing,
    /// It could not or would not say.
    Refused,
}

/// Which kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    V4,
    V6,
}

/// Asks from the calling thread's namespace.
pub(super) fn ask(server: IpAddr, name: &str, kind: Kind, patience: Duration) -> io::Result<Said> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(SocketAddr::new(server, PORT))?;
    // The port is the kernel's choice already.
    let id = socket.local_addr()?.port().to_be_bytes();
    let question = question(id, name, kind).ok_or_else(|| io::Error::other(format!("`{name}` is not a name")))?;
    socket.send(&question)?;
    let end = Instant::now() + patience;
    let mut datagram = [0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut datagram)?;
        if let Some(said) = datagram.get(..length).and_then(|answer| read(answer, &question, kind)) {
            return Ok(said);
        }
    }
}

fn question(id: [u8; 2], name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut message = id.to_vec();
    // Recursion desired; one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=LABEL).contains(&usize::from(*length)))?;
        message.push(length);
        message.extend(label.bytes());
    }
    message.push(0);
    if message.len() > HEADER + NAME {
        return None;
    }
    message.extend(kind.code());
    message.extend(INTERNET);
    Some(message)
}

impl Kind {
    fn code(self) -> [u8; 2] {
        match self {
            Self::V4 => ADDRESS,
            Self::V6 => ADDRESS6,
        }
    }
}

/// `None` if it is no answer to this question.
fn read(answer: &[u8], question: &[u8], kind: Kind) -> Option<Said> {
    if answer.get(..2)? != question.get(..2)? || answer.get(2)? & IS_ANSWER == 0 {
        return None;
    }
    match answer.get(3)? & CODE {
        0 => {}
        NO_SUCH_NAME => return Some(Said::Nothing),
        _ => return Some(Said::Refused),
    }
    let count = u16::from_be_bytes(answer.get(6..8)?.try_into().ok()?);
    let mut at = question.len();
    for _ in 0..count {
        let Some((address, next)) = record(answer, at, kind) else { return Some(Said::Refused) };
        if let Some(address) = address {
            return Some(Said::Address(address));
        }
        at = next;
    }
    Some(Said::Nothing)
}

/// A record's address, if it is one of this kind, and where the next record begins. The names of records that come
/// before it (CNAME) need not be followed: the server has done so.
fn record(answer: &[u8], at: usize, kind: Kind) -> Option<(Option<IpAddr>, usize)> {
    let fields = end_of_name(answer, at)?;
    let (code, class) = (answer.get(fields..fields + 2)?, answer.get(fields + 2..fields + 4)?);
    let length = usize::from(u16::from_be_bytes(answer.get(fields + 8..fields + 10)?.try_into().ok()?));
    let data = answer.get(fields + 10..fields + 10 + length)?;
    let address = match kind {
        _ if code != kind.code() || class != INTERNET => None,
        Kind::V4 => <[u8; 4]>::try_from(data).ok().map(|octets| Ipv4Addr::from(octets).into()),
        Kind::V6 => <[u8; 16]>::try_from(data).ok().map(|octets| Ipv6Addr::from(octets).into()),
    };
    Some((address, fields + 10 + length))
}

fn end_of_name(answer: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match usize::from(*answer.get(at)?) {
            0 => return Some(at + 1),
            length @ 1..=LABEL => at += 1 + length,
            // A pointer ends the name.
            _ => return Some(at + 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Said, question, read};

    fn answer(records: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
        let question = question([7, 7], "web.example", Kind::V4).unwrap();
        let mut answer = question.clone();
        answer[2] |= 0x80;
        answer[7] = u8::try_from(records.len()).unwrap();
        records.iter().for_each(|record| answer.extend_from_slice(record));
        (question, answer)
    }

    const ALIAS: &[u8] = &[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'x', 0xc0, 16];
    const ADDRESS: &[u8] = &[1, b'x', 0xc0, 16, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 2];

    #[test]
    fn finds_the_address_behind_an_alias() {
        let (question, good) = answer(&[ALIAS, ADDRESS]);
        assert_eq!(read(&good, &question, Kind::V4), Some(Said::Address("10.0.0.2".parse().unwrap())));
        assert_eq!(read(&good, &question, Kind::V6), Some(Said::Nothing));
        let (question, empty) = answer(&[]);
        assert_eq!(read(&empty, &question, Kind::V4), Some(Said::Nothing));
    }

    #[test]
    fn takes_no_harm_from_what_strangers_send() {
        let (question, good) = answer(&[ALIAS, ADDRESS]);
        for length in 0..good.len() {
            let cut = &good[..length];
            assert!(matches!(read(cut, &question, Kind::V4), None | Some(Said::Refused)), "{length}");
        }
        let mut other = good.clone();
        other[0] = 9;
        assert_eq!(read(&other, &question, Kind::V4), None);
        let mut refused = good;
        refused[3] = 5;
        assert_eq!(read(&refused, &question, Kind::V4), Some(Said::Refused));
    }

    #[test]
    fn asks_only_for_names() {
        assert!(question([0, 0], "a..b", Kind::V4).is_none());
        assert!(question([0, 0], &"a".repeat(64), Kind::V4).is_none());
        assert!(question([0, 0], &["abc"; 80].join("."), Kind::V4).is_none());
    }
}
