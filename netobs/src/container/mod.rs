//! Containers by the names their engines gave them: Docker, Podman, containerd and what runs on it (Kubernetes, nerdctl),
//! CRI-O.
//!
//! Four sources, the surest first: an engine that listens on a socket is asked (`api`: Docker's protocol, which Podman
//! speaks, too); the folders in which engines keep what runs are read (`folders`); the process that keeps a container
//! says where its folder is (`keeper`); and a cgroup's name has the id (`cgroup`). None changes anything, and what none
//! of them says stays unknown.

mod api;
mod ask;
mod bundle;
mod cgroup;
mod engines;
mod folders;
mod keeper;
mod owner;
mod runtime;

use std::collections::BTreeMap;
use std::time::Duration;

use folders::Folders;

pub use cgroup::{Group, Place};
pub use engines::Engines;
pub use owner::Owner;
pub use runtime::Runtime;

/// A container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// What people call it: its name, or `NAMESPACE/POD/NAME` in Kubernetes, or the beginning of its id if it has none. A
    /// stranger's text.
    pub name: String,
    /// The engine's own name of it; engines take its first characters for it.
    pub id: String,
    /// Who runs it.
    pub runtime: Runtime,
    /// Its first process, by its id on this machine.
    pub pid: i32,
}

/// An engine that does not answer a person by then is none.
const PATIENCE: Duration = Duration::from_secs(3);
/// The shortest beginning of an id that is taken for it: a name of two letters is hardly meant as one.
const SHORTEST_ID: usize = 4;

/// The containers that go by this name, or whose id begins so: more than one if several engines have one.
pub fn find(name: &str) -> Vec<Container> {
    let mut found: BTreeMap<String, Container> = BTreeMap::new();
    // An engine knows more of its containers than its folders tell, so its word comes first.
    for container in asked(name).into_iter().chain(Folders::default().all().into_iter().filter(|known| known.is(name)))
    {
        found.entry(container.id.clone()).or_insert(container);
    }
    let exact: Vec<_> = found.values().filter(|container| container.is_called(name)).cloned().collect();
    if exact.is_empty() { found.into_values().collect() } else { exact }
}

/// Those that an engine finds.
fn asked(name: &str) -> Vec<Container> {
    let mut found = Vec::new();
    for engine in api::engines() {
        for listed in engine.running(PATIENCE).unwrap_or_default() {
            let full = listed.owner(engine.runtime).full_name().unwrap_or_else(|| listed.id.clone());
            let is_own = listed.own_names().any(|own| own == name);
            if !is_own && !is_name_of(name, &full) && !is_start_of(name, &listed.id) {
                continue;
            }
            if let Some(pid) = engine.pid(&listed, PATIENCE) {
                let name = if is_own { name.to_owned() } else { full };
                found.push(Container { name, id: listed.id, runtime: engine.runtime, pid });
            }
        }
    }
    found
}

/// The names of all that run, sorted.
pub fn names() -> Vec<String> {
    let mut names: Vec<_> = Names::read().names.into_values().collect();
    names.sort();
    names.dedup();
    names
}

/// The names of all that run, read once.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// By id.
    names: BTreeMap<String, String>,
}

impl Names {
    /// Asks every engine and reads every folder.
    pub fn read() -> Self {
        let mut names: BTreeMap<_, _> = Folders::default().all().into_iter().map(|it| (it.id, it.name)).collect();
        for engine in api::engines() {
            for listed in engine.running(PATIENCE).unwrap_or_default() {
                if let Some(name) = listed.owner(engine.runtime).full_name() {
                    names.insert(listed.id, name);
                }
            }
        }
        Self { names }
    }

    /// The name of the container that a process is in, by the id in its cgroup's path.
    pub fn of(&self, pid: i32) -> Option<&str> {
        if self.names.is_empty() {
            return None;
        }
        Place::of(pid).groups.iter().find_map(|group| self.names.get(&group.id)).map(String::as_str)
    }
}

impl Container {
    fn is_called(&self, name: &str) -> bool {
        is_name_of(name, &self.name)
    }

    fn is(&self, name: &str) -> bool {
        self.is_called(name) || is_start_of(name, &self.id)
    }
}

/// Whether a container of this full name is called so.
fn is_name_of(name: &str, full: &str) -> bool {
    full == name || full.rsplit('/').next() == Some(name)
}

fn is_start_of(name: &str, id: &str) -> bool {
    name.len() >= SHORTEST_ID && id.starts_with(name)
}
