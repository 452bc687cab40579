//! Reading the folders in which containerd and Podman keep what runs, for machines where no socket answers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Container;

/// Each has a folder for each namespace of containerd's, and in it one for each container, named by its id; the second
/// is that of a containerd which Docker has started itself.
const CONTAINERD: [&str; 2] =
    ["/run/containerd/io.containerd.runtime.v2.task", "/run/docker/containerd/daemon/io.containerd.runtime.v2.task"];
/// Podman's and CRI-O's: a folder for each container, named by its id.
const STORAGE: &str = "/run/containers/storage/overlay-containers";
/// Podman's list of names.
const STORAGE_NAMES: &str = "/var/lib/containers/storage/overlay-containers/containers.json";
/// A container's description may be long; none is that long.
const LONGEST: u64 = 16 << 20;

/// The part of the OCI runtime's `config.json` that has names.
#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    #[serde(default)]
    names: Vec<String>,
}

/// All that run.
pub(super) fn all() -> Vec<Container> {
    let mut found = Vec::new();
    for namespace in CONTAINERD.iter().flat_map(|folder| folders(Path::new(folder))) {
        let engine = if namespace.ends_with("moby") { "Docker" } else { "containerd" };
        found.extend(folders(&namespace).iter().filter_map(|folder| read(folder, folder, "init.pid", engine)));
    }
    let podman = folders(Path::new(STORAGE));
    if podman.is_empty() {
        return found;
    }
    let names: Vec<Named> = read_json(Path::new(STORAGE_NAMES)).unwrap_or_default();
    for folder in podman {
        let Some(mut container) = read(&folder, &folder.join("userdata"), "pidfile", "Podman") else { continue };
        let named = names.iter().find(|named| named.id == container.id);
        if let Some(name) = named.and_then(|named| named.names.first()).filter(|_| container.name == container.id) {
            container.name.clone_from(name);
        }
        found.push(container);
    }
    found
}

fn read(named: &Path, folder: &Path, pid: &str, engine: &'static str) -> Option<Container> {
    let id = named.file_name()?.to_str()?.to_owned();
    let pid: i32 = text(&folder.join(pid))?.trim().parse().ok()?;
    // A container that has ended may leave its folder behind for a while.
    Path::new("/proc").join(pid.to_string()).exists().then_some(())?;
    let config: Config = read_json(&folder.join("config.json")).unwrap_or_default();
    Some(Container { name: config.name().unwrap_or_else(|| id.clone()), id, engine, pid })
}

impl Config {
    /// As Kubernetes (by containerd, by CRI-O) or nerdctl calls it.
    fn name(&self) -> Option<String> {
        let value = |keys: [&str; 2]| keys.iter().find_map(|key| self.annotations.get(*key)).cloned();
        let pod = value(["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]);
        let namespace = value(["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]);
        let name = value(["io.kubernetes.cri.container-name", "io.kubernetes.container.name"]);
        match (namespace, pod, name) {
            (Some(namespace), Some(pod), Some(name)) => Some(format!("{namespace}/{pod}/{name}")),
            // The one that holds the pod's namespaces.
            (Some(namespace), Some(pod), None) => Some(format!("{namespace}/{pod}")),
            _ => self.annotations.get("nerdctl/name").cloned(),
        }
    }
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn text(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_str(&text(path)?).ok()
}
