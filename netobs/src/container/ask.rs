//! A question to an engine's socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

/// A thousand containers take about two megabytes.
const LONGEST: usize = 64 << 20;
/// Read at a time.
const PIECE: usize = 64 << 10;

/// `GET` over HTTP 1.0, so that the answer ends with the connection and comes in one piece. An engine that has not
/// answered in full by the end of `patience` is given up.
///
/// # Errors
/// Nobody listens there, nobody answers in time, or it is no answer to this question.
pub(super) fn ask<T: DeserializeOwned>(socket: &Path, path: &str, patience: Duration) -> io::Result<T> {
    let end = Instant::now() + patience;
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = vec![0; PIECE];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || answer.len() > LONGEST {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece)? {
            0 => break,
            length => answer.extend(piece.iter().take(length)),
        }
    }
    body(&answer).and_then(|body| serde_json::from_slice(body).ok()).ok_or(io::ErrorKind::InvalidData.into())
}

/// What follows the head of an answer that says 200.
fn body(answer: &[u8]) -> Option<&[u8]> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = str::from_utf8(answer.get(..end)?).ok()?;
    let status = head.split(' ').nth(1)?;
    (head.starts_with("HTTP/1.") && status == "200").then(|| answer.get(end + 4..))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_an_answer_apart() {
        assert_eq!(body(b"HTTP/1.0 200 OK\r\nServer: Docker\r\n\r\n[]"), Some(&b"[]"[..]));
        assert_eq!(body(b"HTTP/1.0 404 Not Found\r\n\r\n{}"), None);
        assert_eq!(body(b"HTTP/1.0 200 OK\r\n"), None);
        assert_eq!(body(b""), None);
    }

    #[test]
    fn waits_no_longer_than_it_may() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        // One that takes the question, and says a byte now and then.
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(b"H").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let began = Instant::now();
        assert!(ask::<serde_json::Value>(&socket, "/", Duration::from_millis(200)).is_err());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(ask::<serde_json::Value>(&folder.path().join("none"), "/", Duration::from_secs(9)).is_err());
    }
}
