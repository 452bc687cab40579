//! Which container a process belongs to: by its cgroup, and by what the container engine says.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::Deserialize;

/// Characters of a container's id that people use for it.
const SHORT: usize = 12;
/// Characters of a whole one.
const WHOLE: usize = 64;
/// An engine that does not answer must not hold up the rest.
const PATIENCE: Duration = Duration::from_millis(300);
/// More than one container's description takes.
const ANSWER: u64 = 1 << 20;
/// How often an engine is asked for a container that it does not know yet.
const ATTEMPTS: u8 = 5;

/// What cgroups of a runtime are called, and where its engine can be asked.
struct Runtime {
    name: &'static str,
    /// Before the id in a scope of systemd: `docker-ID.scope`.
    scope: &'static str,
    /// The cgroup above that with the id, where systemd has no hand in it.
    parent: &'static str,
    sockets: &'static [&'static str],
}

const RUNTIMES: &[Runtime] = &[
    Runtime {
        name: "docker",
        scope: "docker-",
        parent: "docker",
        sockets: &["/run/docker.sock", "/var/run/docker.sock"],
    },
    Runtime { name: "podman", scope: "libpod-", parent: "libpod_parent", sockets: &["/run/podman/podman.sock"] },
    Runtime { name: "containerd", scope: "cri-containerd-", parent: "default", sockets: &[] },
    Runtime { name: "containerd", scope: "nerdctl-", parent: "k8s.io", sockets: &[] },
    Runtime { name: "cri-o", scope: "crio-", parent: "crio", sockets: &[] },
];

/// Who a namespace belongs to. Empty for what there is none of, or is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// `docker`, `podman`, …
    pub runtime: String,
    /// The container's name, or the beginning of its id.
    pub container: String,
    /// The pod it is in.
    pub pod: String,
    /// The Kubernetes namespace of that.
    pub namespace: String,
}

impl Owner {
    /// One name for it: `namespace/pod`, or that of the container.
    pub fn name(&self) -> Option<String> {
        match self {
            Self { container, pod, .. } if container.is_empty() && pod.is_empty() => None,
            Self { pod, container, .. } if pod.is_empty() => Some(container.clone()),
            Self { pod, namespace, .. } => Some(format!("{namespace}/{pod}")),
        }
    }
}

/// A process's place among the cgroups, as far as it says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A container, by the number of its runtime's row and its id.
    Container(usize, String),
    /// A unit of systemd.
    Unit(String),
}

/// Where a process is. `None` if its cgroup says nothing, or there is no such process.
pub fn place_of(pid: i32) -> Option<Place> {
    place(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
}

fn place(cgroups: &str) -> Option<Place> {
    let paths = || cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let unit = || {
        let units = paths().flat_map(|path| path.rsplit('/').find(|part| part.ends_with(".service")));
        units.map(|unit| Place::Unit(unit.to_owned())).next()
    };
    paths().find_map(container).or_else(unit)
}

/// The innermost container of a path.
fn container(path: &str) -> Option<Place> {
    let mut parent = "";
    let mut found = None;
    for part in path.split('/') {
        for (number, runtime) in RUNTIMES.iter().enumerate() {
            let scope = || part.strip_prefix(runtime.scope)?.strip_suffix(".scope");
            let id = scope().or_else(|| (parent == runtime.parent).then_some(part)).filter(|id| is_id(id));
            found = id.map(|id| Place::Container(number, id.to_owned())).or(found);
        }
        parent = part;
    }
    found
}

fn is_id(text: &str) -> bool {
    text.len() == WHOLE && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Asks container engines, and remembers what they said.
#[derive(Debug, Default)]
pub struct Engines {
    known: HashMap<String, (Owner, u8)>,
}

impl Engines {
    /// Who a container is. Without an engine that can be asked it is called by the beginning of its id, as engines do.
    pub fn owner(&mut self, runtime: usize, id: &str) -> Owner {
        let (owner, attempts) = self.known.entry(id.to_owned()).or_insert_with(|| {
            let runtime = RUNTIMES.get(runtime).map_or("", |runtime| runtime.name).to_owned();
            let container = id.get(..SHORT).unwrap_or(id).to_owned();
            (Owner { runtime, container, ..Owner::default() }, ATTEMPTS)
        });
        if *attempts > 0 {
            let sockets = RUNTIMES.get(runtime).map_or(&[][..], |runtime| runtime.sockets);
            *attempts = if sockets.is_empty() { 0 } else { *attempts - 1 };
            if let Some(described) = sockets.iter().find_map(|socket| ask(socket, id)) {
                (*owner, *attempts) = (described.into_owner(owner), 0);
            }
        }
        owner.clone()
    }

    /// Whether an engine is to be asked again.
    pub fn is_pending(&self, id: &str) -> bool {
        self.known.get(id).is_none_or(|(_, attempts)| *attempts > 0)
    }

    /// Forgets all but these.
    pub fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.known.retain(|id, _| is_there(id));
    }
}

/// An element of the answer to `GET /containers/json`, of Docker's engine API; Podman answers the same.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    labels: Option<HashMap<String, String>>,
}

impl Described {
    fn into_owner(self, known: &Owner) -> Owner {
        let name = self.names.first().map(|name| name.trim_start_matches('/')).filter(|name| !name.is_empty());
        let label = |name| self.labels.as_ref().and_then(|labels| labels.get(name)).cloned().unwrap_or_default();
        Owner {
            runtime: known.runtime.clone(),
            container: name.map_or_else(|| known.container.clone(), str::to_owned),
            pod: label("io.kubernetes.pod.name"),
            namespace: label("io.kubernetes.pod.namespace"),
        }
    }
}

/// Lists the one container: unlike its inspection that waits for nothing, not even for one that is being started.
fn ask(socket: &str, id: &str) -> Option<Described> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    // An answer to HTTP/1.0 ends with the connection and comes in one piece. The id is of hexadecimal digits.
    let filters = format!("%7B%22id%22%3A%5B%22{id}%22%5D%7D");
    write!(stream, "GET /containers/json?all=1&filters={filters} HTTP/1.0\r\nHost: netobs\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if head.split(' ').nth(1)? != "200" {
        return None;
    }
    serde_json::from_str::<Vec<Described>>(body).ok()?.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn containers_are_known_by_their_cgroups() {
        for (cgroups, expected) in [
            (format!("0::/system.slice/docker-{ID}.scope\n"), Some("docker")),
            (format!("0::/docker/{ID}\n"), Some("docker")),
            (format!("12:memory:/docker/{ID}\n0::/\n"), Some("docker")),
            (format!("0::/docker/{ID}/init.scope\n"), Some("docker")),
            (format!("0::/machine.slice/libpod-{ID}.scope/container\n"), Some("podman")),
            (format!("0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-{ID}.scope\n"), Some("containerd")),
            (format!("0::/default/{ID}\n"), Some("containerd")),
            (format!("0::/system.slice/docker-{}.scope\n", &ID[..20]), None),
            ("0::/user.slice/user-0.slice/session-1.scope\n".to_owned(), None),
            (String::new(), None),
        ] {
            let found = match place(&cgroups) {
                Some(Place::Container(runtime, id)) => {
                    assert_eq!(id, ID);
                    Some(RUNTIMES[runtime].name)
                }
                _ => None,
            };
            assert_eq!(found, expected, "{cgroups}");
        }
        let unit = place("0::/system.slice/chrony.service\n");
        assert_eq!(unit, Some(Place::Unit("chrony.service".into())));
    }

    #[test]
    fn what_an_engine_says_wins_over_the_id() {
        let known = Owner { runtime: "docker".into(), container: "0123456789ab".into(), ..Owner::default() };
        let describe = |json: &str| serde_json::from_str::<Described>(json).unwrap().into_owner(&known);
        assert_eq!(describe(r#"{"Id":"x","Names":["/web"],"Labels":null}"#).name().as_deref(), Some("web"));
        assert_eq!(describe(r#"{"Names":[]}"#).name().as_deref(), Some("0123456789ab"));
        let labels = r#"{"io.kubernetes.pod.name":"web-0","io.kubernetes.pod.namespace":"shop"}"#;
        let pod = describe(&format!(r#"{{"Names":["/k8s_POD_web-0"],"Labels":{labels}}}"#));
        assert_eq!(pod.name().as_deref(), Some("shop/web-0"));
        assert_eq!(Owner::default().name(), None);
    }
}
