//! The smallest web server that is one: something to reach in a container without installing anything in it.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Clients served at once; more are closed unanswered.
const CLIENTS: usize = 64;
/// A request's head may not be larger.
const HEAD: usize = 8 * 1024;
/// A client that has not finished its request by then is not served.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the client's last bytes are read after the answer, so that closing does not reset the connection.
const LINGER: Duration = Duration::from_secs(1);

/// Answers on `listener` from a thread of its own, until stopped.
pub(super) fn serve(listener: TcpListener, greeting: String, stopped: Arc<AtomicBool>) -> io::Result<()> {
    let greeting = Arc::new(greeting);
    let clients = Arc::new(AtomicUsize::new(0));
    let accept = move || {
        while !stopped.load(Ordering::Relaxed) {
            let Ok((stream, client)) = listener.accept() else {
                // Out of descriptors or memory: give others time to finish.
                thread::sleep(Duration::from_millis(10));
                continue;
            };
            if clients.fetch_add(1, Ordering::Relaxed) >= CLIENTS {
                clients.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (greeting, serving) = (Arc::clone(&greeting), Arc::clone(&clients));
            let work = move || {
                let _ = converse(stream, client, &greeting);
                serving.fetch_sub(1, Ordering::Relaxed);
            };
            if thread::Builder::new().name("http".to_owned()).spawn(work).is_err() {
                clients.fetch_sub(1, Ordering::Relaxed);
            }
        }
    };
    thread::Builder::new().name("http".to_owned()).spawn(accept).map(drop)
}

/// One request, one answer, and an orderly end.
fn converse(mut stream: TcpStream, client: SocketAddr, greeting: &str) -> io::Result<()> {
    let head = read_head(&mut stream)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(answer(&head, client, greeting).as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let end = Instant::now() + LINGER;
    let mut rest = [0; 1024];
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        stream.set_read_timeout(Some(left))?;
        if stream.read(&mut rest)? == 0 {
            break;
        }
    }
    Ok(())
}

/// Reads to the blank line that ends a request's head, or to as much as a head may be.
fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let end = Instant::now() + PATIENCE;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") && !head.windows(2).any(|two| two == b"\n\n") {
        let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        stream.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
        let length = stream.read(&mut piece)?;
        if length == 0 || head.len() > HEAD {
            break;
        }
        head.extend_from_slice(piece.get(..length).unwrap_or_default());
    }
    Ok(head)
}

fn answer(head: &[u8], client: SocketAddr, greeting: &str) -> String {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let (method, target, version) = (words.next(), words.next(), words.next());
    let spoken = target.is_some() && version.is_some_and(|version| version.starts_with("HTTP/"));
    let (status, body) = match method {
        Some("GET" | "HEAD") if spoken => ("200 OK", format!("{greeting}\nYou are {}.\n", shown(client))),
        Some(_) if spoken => ("405 Method Not Allowed", "Only GET and HEAD are answered here.\n".to_owned()),
        Some(_) | None => ("400 Bad Request", "That was not HTTP.\n".to_owned()),
    };
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\n{allow}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    if method == Some("HEAD") { head } else { head + &body }
}

/// An IPv4 client of the socket that serves both families is shown as one.
fn shown(client: SocketAddr) -> SocketAddr {
    let ip = match client.ip() {
        IpAddr::V6(ip) => ip.to_canonical(),
        ip @ IpAddr::V4(_) => ip,
    };
    SocketAddr::new(ip, client.port())
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn answers_each_kind_of_request() {
        let client = "[::ffff:10.40.0.3]:5".parse().unwrap();
        let status = |head: &str| answer(head.as_bytes(), client, "Hello").lines().next().unwrap().to_owned();
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 OK");
        assert_eq!(status("POST / HTTP/1.1\r\n\r\n"), "HTTP/1.1 405 Method Not Allowed");
        assert_eq!(status("\x16\x03\x01"), "HTTP/1.1 400 Bad Request");
        assert_eq!(status(""), "HTTP/1.1 400 Bad Request");
        assert!(answer(b"GET / HTTP/1.1\r\n\r\n", client, "Hello").ends_with("Hello\nYou are 10.40.0.3:5.\n"));
        assert!(answer(b"HEAD / HTTP/1.0\r\n\r\n", client, "Hello").ends_with("\r\n\r\n"));
    }
}
