//! Asking an engine over its socket, in Docker's protocol (version 1.24 and later; Podman's compatible one).

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Container, is_start_of};

/// An engine that does not answer by then is none.
const TIME: Duration = Duration::from_secs(3);
/// A thousand containers take about two megabytes.
const LONGEST: u64 = 64 << 20;

/// Where engines listen, unless `DOCKER_HOST` says otherwise.
const SOCKETS: [(&str, &str); 2] = [("Docker", "/var/run/docker.sock"), ("Podman", "/run/podman/podman.sock")];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    #[serde(default)]
    names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    state: State,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    #[serde(default)]
    pid: i32,
}

/// The running containers of this name, or whose id begins so.
pub(super) fn find(name: &str) -> Vec<Container> {
    let mut found = Vec::new();
    for (engine, socket) in sockets() {
        for listed in list(&socket) {
            if !(listed.is_called(name) || is_start_of(name, &listed.id)) || !is_id(&listed.id) {
                continue;
            }
            let Ok(inspected) = ask::<Inspected>(&socket, &format!("/containers/{}/json", listed.id)) else { continue };
            // 0 is a container that has ended meanwhile.
            if inspected.state.pid > 0 {
                found.push(Container { name: listed.name(), id: listed.id, engine, pid: inspected.state.pid });
            }
        }
    }
    found
}

/// Id and name of all that run.
pub(super) fn names() -> Vec<(String, String)> {
    let all = sockets().into_iter().flat_map(|(_, socket)| list(&socket));
    all.map(|listed| (listed.id.clone(), listed.name())).collect()
}

impl Listed {
    /// Names have a slash before them; one with two is an old link's name for another container.
    fn own_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter_map(|name| name.strip_prefix('/')).filter(|name| !name.contains('/'))
    }

    fn is_called(&self, name: &str) -> bool {
        self.own_names().any(|own| own == name)
    }

    fn name(&self) -> String {
        self.own_names().next().unwrap_or(&self.id).to_owned()
    }
}

/// It becomes part of a path.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn sockets() -> Vec<(&'static str, PathBuf)> {
    let own = std::env::var("DOCKER_HOST").ok();
    match own.as_deref().and_then(|own| own.strip_prefix("unix://")) {
        Some(path) => vec![("Docker", path.into())],
        None => SOCKETS.into_iter().map(|(engine, path)| (engine, path.into())).collect(),
    }
}

fn list(socket: &PathBuf) -> Vec<Listed> {
    ask(socket, "/containers/json").unwrap_or_default()
}

/// HTTP 1.0, so that the answer ends with the connection and comes in one piece.
fn ask<T: DeserializeOwned>(socket: &PathBuf, path: &str) -> io::Result<T> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIME))?;
    stream.set_write_timeout(Some(TIME))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
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
    use super::{Listed, body};

    #[test]
    fn takes_an_answer_apart() {
        assert_eq!(body(b"HTTP/1.0 200 OK\r\nServer: Docker\r\n\r\n[]"), Some(&b"[]"[..]));
        assert_eq!(body(b"HTTP/1.0 404 Not Found\r\n\r\n{}"), None);
        assert_eq!(body(b"HTTP/1.0 200 OK\r\n"), None);
        assert_eq!(body(b""), None);
    }

    #[test]
    fn a_links_name_is_not_the_containers() {
        let listed = Listed { id: "abcdef".into(), names: vec!["/web/db".into(), "/db".into()] };
        assert!(listed.is_called("db") && !listed.is_called("web/db"));
        assert_eq!(listed.name(), "db");
    }
}
