//! Containers by the names their engines gave them: Docker, Podman, containerd and what runs on it (Kubernetes, nerdctl).
//!
//! Two sources: an engine that listens on a socket is asked (Docker's protocol, which Podman speaks, too), and where
//! the state folders of containerd or Podman are found, they are read. Neither changes anything.

mod api;
mod folders;

use std::collections::BTreeMap;

/// A container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// What people call it: its name, or `NAMESPACE/POD/NAME` in Kubernetes, or its id if it has none. A stranger's text.
    pub name: String,
    /// The engine's own name of it; engines take its first characters for it.
    pub id: String,
    /// Who runs it.
    pub engine: &'static str,
    /// Its first process, by its id on this machine.
    pub pid: i32,
}

/// The shortest beginning of an id that is taken for it: a name of two letters is hardly meant as one.
const SHORTEST_ID: usize = 4;

/// The containers that go by this name, or whose id begins so: more than one if several engines have one.
pub fn find(name: &str) -> Vec<Container> {
    let mut found: BTreeMap<String, Container> = BTreeMap::new();
    // An engine knows more of its containers than its folders tell, so its word comes first.
    for container in api::find(name).into_iter().chain(folders::all().into_iter().filter(|known| known.is(name))) {
        found.entry(container.id.clone()).or_insert(container);
    }
    let exact: Vec<_> = found.values().filter(|container| container.is_called(name)).cloned().collect();
    if exact.is_empty() { found.into_values().collect() } else { exact }
}

/// The names of all that run, sorted.
pub fn names() -> Vec<String> {
    let mut names = api::names();
    let ids: Vec<_> = names.iter().map(|(id, _)| id.clone()).collect();
    names.extend(folders::all().into_iter().filter(|it| !ids.contains(&it.id)).map(|it| (it.id, it.name)));
    let mut names: Vec<_> = names.into_iter().map(|(_, name)| name).collect();
    names.sort();
    names.dedup();
    names
}

/// The name of the container that a process is in, by the id in its cgroup's path.
pub fn name_of(pid: i32) -> Option<String> {
    let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let known = api::names().into_iter().chain(folders::all().into_iter().map(|it| (it.id, it.name)));
    known.into_iter().find(|(id, _)| id.len() > SHORTEST_ID && group.contains(id.as_str())).map(|(_, name)| name)
}

impl Container {
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.name.rsplit('/').next() == Some(name)
    }

    fn is(&self, name: &str) -> bool {
        self.is_called(name) || is_start_of(name, &self.id)
    }
}

fn is_start_of(name: &str, id: &str) -> bool {
    name.len() >= SHORTEST_ID && id.starts_with(name)
}
