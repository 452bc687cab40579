//! Engines that listen on a socket and speak Docker's protocol (version 1.24 and later; Podman's compatible one).

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::ask::ask;
use super::cgroup::is_id;
use super::{Owner, Runtime};

/// Where engines listen, unless `DOCKER_HOST` or `CONTAINER_HOST` (Podman's own) says otherwise.
const SOCKETS: [(Runtime, &str); 2] =
    [(Runtime::Docker, "/var/run/docker.sock"), (Runtime::Podman, "/run/podman/podman.sock")];

/// Podman's own protocol, which knows pods (4.0 and later).
const PODMAN: &str = "/v4.0.0/libpod/";

/// An engine that may listen there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Engine {
    pub runtime: Runtime,
    socket: PathBuf,
}

/// A container it has.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    pub id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    labels: Option<HashMap<String, String>>,
    /// Podman's, as long as it is asked in its own protocol.
    #[serde(default)]
    pod_name: String,
    #[serde(default)]
    is_infra: bool,
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

pub(super) fn engines() -> Vec<Engine> {
    let told = [(Runtime::Docker, "DOCKER_HOST"), (Runtime::Podman, "CONTAINER_HOST")].into_iter();
    let told: Vec<_> = told
        .filter_map(|(runtime, variable)| {
            let socket = std::env::var(variable).ok()?.strip_prefix("unix://")?.into();
            Some(Engine { runtime, socket })
        })
        .collect();
    let usual = SOCKETS.into_iter().map(|(runtime, path)| Engine { runtime, socket: path.into() });
    if told.is_empty() { usual.collect() } else { told }
}

impl Engine {
    /// Whether there is a socket to ask.
    pub fn is_there(&self) -> bool {
        self.socket.exists()
    }

    /// All that run. `None` if it does not answer.
    pub fn running(&self, patience: Duration) -> Option<Vec<Listed>> {
        ask(&self.socket, "/containers/json", patience).ok()
    }

    /// Those of these that it has, running or not. A list, unlike an inspection, waits for nothing, not even for a
    /// container that is being started.
    pub fn some(&self, ids: &[&str], patience: Duration) -> Option<Vec<Listed>> {
        // They become part of a path.
        let ids: Vec<_> = ids.iter().filter(|id| is_id(id)).map(|id| format!("%22{id}%22")).collect();
        let question = format!("containers/json?all=true&filters=%7B%22id%22%3A%5B{}%5D%7D", ids.join("%2C"));
        let own = || ask(&self.socket, &format!("{PODMAN}{question}"), patience).ok();
        let own = (self.runtime == Runtime::Podman).then(own).flatten();
        own.or_else(|| ask(&self.socket, &format!("/{question}"), patience).ok())
    }

    /// The first process of one that runs.
    pub fn pid(&self, listed: &Listed, patience: Duration) -> Option<i32> {
        let path = format!("/containers/{}/json", Some(&listed.id).filter(|id| is_id(id))?);
        let inspected: Inspected = ask(&self.socket, &path, patience).ok()?;
        // 0 is a container that has ended meanwhile.
        Some(inspected.state.pid).filter(|pid| *pid > 0)
    }
}

impl Listed {
    /// Names have a slash before them in Docker's protocol; one with two is an old link's name for another container.
    pub fn own_names(&self) -> impl Iterator<Item = &str> {
        let names = self.names.iter().flatten().map(|name| name.strip_prefix('/').unwrap_or(name));
        names.filter(|name| !name.is_empty() && !name.contains('/'))
    }

    pub fn owner(&self, runtime: Runtime) -> Owner {
        let mut owner = Owner::nameless(Some(runtime), &self.id);
        if let Some(name) = self.own_names().next() {
            name.clone_into(&mut owner.container);
        }
        let mut owner = owner.labelled(|key| self.labels.as_ref()?.get(key).map(String::as_str));
        if owner.pod.is_empty() && !self.pod_name.is_empty() {
            owner.pod.clone_from(&self.pod_name);
            // One that only holds the pod's namespaces has a name that Podman made up.
            if self.is_infra {
                owner.container.clear();
            }
        }
        owner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engines_word_wins_over_the_id() {
        let owner = |json: &str| serde_json::from_str::<Listed>(json).unwrap().owner(Runtime::Docker).full_name();
        let id = "ab".repeat(32);
        assert_eq!(owner(r#"{"Id":"x","Names":["/web"],"Labels":null}"#).as_deref(), Some("web"));
        assert_eq!(owner(&format!(r#"{{"Id":"{id}","Names":[]}}"#)).as_deref(), Some("abababababab"));
        assert_eq!(owner(&format!(r#"{{"Id":"{id}","Names":null}}"#)).as_deref(), Some("abababababab"));
        let labels = r#"{"io.kubernetes.pod.name":"web-0","io.kubernetes.pod.namespace":"shop"}"#;
        let pod = owner(&format!(r#"{{"Id":"{id}","Names":["/k8s_POD_web-0"],"Labels":{labels}}}"#));
        assert_eq!(pod.as_deref(), Some("shop/web-0"));
        let podmans = |rest| owner(&format!(r#"{{"Id":"{id}","PodName":"shop","Labels":null,{rest}}}"#));
        assert_eq!(podmans(r#""Names":["web"],"IsInfra":false"#).as_deref(), Some("shop/web"));
        assert_eq!(podmans(r#""Names":["0a1b2c3d4e5f-infra"],"IsInfra":true"#).as_deref(), Some("shop"));
    }

    #[test]
    fn a_links_name_is_not_the_containers() {
        let listed: Listed = serde_json::from_str(r#"{"Id":"abcdef","Names":["/web/db","/db"]}"#).unwrap();
        assert_eq!(listed.own_names().collect::<Vec<_>>(), ["db"]);
    }
}
