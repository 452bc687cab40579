//! Connections: opened, asked for a page, or filled.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::super::check::Outcome;
use crate::netns::{Netns, in_netns};

/// Opens a connection from the calling thread's namespace, and closes it.
pub(super) fn connect(to: SocketAddr, silence: Duration) -> io::Result<Outcome> {
    TcpStream::connect_timeout(&to, silence).map(|_| Outcome::Answered)
}

/// Fetches a page.
pub(super) fn http(to: SocketAddr, silence: Duration) -> io::Result<Outcome> {
    let mut stream = TcpStream::connect_timeout(&to, silence)?;
    stream.set_read_timeout(Some(silence))?;
    stream.write_all(format!("GET / HTTP/1.0\r\nHost: {to}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer)?;
    Ok(if answer.starts_with(b"HTTP/1.") { Outcome::Answered } else { Outcome::Failed })
}

/// Sends bytes from one namespace to a server in another until all have arrived, or none arrives for as long as
/// `silence`.
pub(super) fn bulk(from: &Netns, at: &Netns, to: SocketAddr, bytes: u64, silence: Duration) -> io::Result<Outcome> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let listener = in_netns(at, || TcpListener::bind((any, to.port()))).map_err(io::Error::other)??;
    let stream = in_netns(from, || TcpStream::connect_timeout(&to, silence)).map_err(io::Error::other)??;
    listener.set_nonblocking(true)?;
    let end = Instant::now() + silence;
    let server = loop {
        match listener.accept() {
            Ok((server, _)) => break server,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < end => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    };
    server.set_nonblocking(false)?;
    server.set_read_timeout(Some(silence))?;
    stream.set_write_timeout(Some(silence))?;
    let sender = stream.try_clone()?;
    let arrived = thread::scope(|scope| {
        scope.spawn(move || send(stream, bytes));
        let arrived = count(server, bytes);
        // Whatever the kernel still holds of it must not be sent for minutes to come.
        let _ = sender.shutdown(Shutdown::Both);
        arrived
    });
    Ok(if arrived? == bytes { Outcome::Answered } else { Outcome::Stalled })
}

/// A full segment of Ethernet's usual size, TCP's timestamps included.
const SEGMENT: usize = 1448;

/// In pieces of one segment, sent as they are: several in one would be split behind all that looks at their size.
fn send(mut stream: TcpStream, bytes: u64) {
    let piece = [0x2e; SEGMENT];
    let _ = stream.set_nodelay(true);
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        match stream.write(piece.get(..length).unwrap_or_default()) {
            Ok(written) if written > 0 => left -= written as u64,
            // A peer that takes nothing for so long is what the count tells.
            Ok(_) | Err(_) => return,
        }
    }
}

fn count(mut server: TcpStream, bytes: u64) -> io::Result<u64> {
    let mut arrived = 0;
    let mut piece = vec![0; 64 * 1024];
    while arrived < bytes {
        match server.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => arrived += length as u64,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // A connection that ends in order keeps the sender's kernel from trying on.
    reset_on_close(&server);
    Ok(arrived)
}

/// Closing throws away what was not read and tells the other end so.
fn reset_on_close(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = libc::socklen_t::try_from(size_of_val(&at_once)).unwrap_or(8);
    // SAFETY: the option's value is a struct linger of that length, which outlives the call.
    unsafe {
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const at_once).cast(), length);
    }
}
