//! What is known about a lab from outside the process that built it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cgroup::{self, Group, Limit};
use super::lend::Loan;
use super::process::Identity;
use super::{Error, LabName, Node, Result, Topology};
use crate::netns::{NetnsCookie, NetnsInode};

/// Where labs are written down. `/run` is empty after a restart on most machines, as are the labs.
pub(super) const LABS: &str = "/run/netobs/labs";

/// How far a lab has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Being built, or the builder was killed.
    Building,
    /// Complete.
    Up,
    /// Being removed, or the remover was killed or failed.
    Removing,
}

/// A lab as written down: first what will be made, then what was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// Its name.
    pub lab: LabName,
    /// How far it has got.
    pub phase: Phase,
    /// The machine's start it belongs to; nothing of it is left after another.
    pub boot_id: String,
    /// Unix time at which it was built, in seconds.
    pub built: u64,
    /// The file that its topology was read from, if it was one.
    #[serde(default)]
    pub source: Option<PathBuf>,
    /// The machine's own devices that its nodes have.
    #[serde(default)]
    pub loans: Vec<Loan>,
    /// What it consists of.
    pub topology: Topology,
    /// What stands for each node of the topology, in its order.
    pub nodes: Vec<NodeState>,
}

/// What a node is on this machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeState {
    /// The node's name in the topology.
    pub node: String,
    /// Its namespace's name under `/run/netns`.
    pub namespace: String,
    /// Its cgroup's directory, if it has a memory limit.
    pub cgroup: Option<PathBuf>,
    /// The same for a limit of its CPU time. With cgroups of version 2 both are one.
    #[serde(default)]
    pub cpu_cgroup: Option<PathBuf>,
    /// What this machine did not allow, in sentences.
    pub notes: Vec<String>,
    /// Its PID 1, once started, as the machine sees it.
    pub init: Option<Identity>,
    /// Its network namespace, once made.
    pub netns: Option<NetnsInode>,
    /// The same, by the number that is never used again.
    pub cookie: Option<NetnsCookie>,
}

impl NodeState {
    /// The limits that are in force: in which group, and how much.
    pub(super) fn limits(&self, node: &Node) -> Vec<(Group, Limit)> {
        let limits = [
            ("memory", node.memory_limit.map(Limit::Memory), &self.cgroup),
            ("CPU", node.cpu_percent.map(Limit::Cpu), &self.cpu_cgroup),
        ];
        let in_force = |(what, limit, path): (&str, Option<Limit>, &Option<PathBuf>)| {
            let group = Group { what: what.to_owned(), path: path.clone()? };
            // Where the machine does not allow it there is a note that says so.
            let refused = self.notes.iter().any(|note| note.starts_with(&cgroup::refusal(what)));
            limit.filter(|_| !refused).map(|limit| (group, limit))
        };
        limits.into_iter().filter_map(in_force).collect()
    }
}

impl State {
    /// The file of a lab.
    fn path(lab: &LabName) -> PathBuf {
        Path::new(LABS).join(format!("{lab}.json"))
    }

    fn draft(lab: &LabName) -> PathBuf {
        Path::new(LABS).join(format!(".{lab}.json.new"))
    }

    /// Reads a lab's file; `None` if there is none.
    pub fn load(lab: &LabName) -> Result<Option<Self>> {
        let path = Self::path(lab);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("read {}", path.display()))(error)),
        };
        let bad = |error: serde_json::Error| Error::BadState { path, reason: error.to_string() };
        Self::read(&text).map(Some).map_err(bad)
    }

    /// A lab whose topology was written by another version of this program must still be found and removed: its nodes
    /// are then all that is known of it.
    fn read(text: &[u8]) -> serde_json::Result<Self> {
        let error = match serde_json::from_slice(text) {
            Ok(state) => return Ok(state),
            Err(error) => error,
        };
        let mut value: serde_json::Value = serde_json::from_slice(text)?;
        let Some(topology) = value.get_mut("topology") else { return Err(error) };
        let name = topology.get("name").cloned();
        *topology = serde_json::json!({ "name": name });
        let mut state: Self = serde_json::from_value(value)?;
        let node = |known: &NodeState| Node { name: known.node.clone(), ..Node::default() };
        state.topology.nodes = state.nodes.iter().map(node).collect();
        Ok(state)
    }

    /// All labs of this machine, by name.
    pub fn all() -> Result<Vec<Self>> {
        let mut labs = Vec::new();
        let entries = match fs::read_dir(LABS) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(labs),
            Err(error) => return Err(Error::io(format!("list {LABS}"))(error)),
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let lab = name.to_str().and_then(|name| name.strip_suffix(".json")?.parse().ok());
            // A lab may be removed while the list is read.
            if let Some(lab) = lab
                && let Some(state) = Self::load(&lab)?
            {
                labs.push(state);
            }
        }
        labs.sort_by(|a, b| a.lab.cmp(&b.lab));
        Ok(labs)
    }

    /// Writes the file anew, so that whoever reads it finds either the old text or the whole new one.
    pub(super) fn save(&self) -> Result<()> {
        let path = Self::path(&self.lab);
        let write = || -> io::Result<()> {
            let draft = Self::draft(&self.lab);
            fs::write(&draft, serde_json::to_vec_pretty(self)?)?;
            fs::rename(draft, &path)
        };
        write().map_err(Error::io(format!("write {}", path.display())))
    }

    /// Removes the file, and the draft of one that was killed while it wrote.
    pub(super) fn forget(lab: &LabName) -> Result<()> {
        for path in [Self::draft(lab), Self::path(lab)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::io(format!("remove {}", path.display()))(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Whether the machine has been restarted since: then nothing of the lab exists but the file.
    pub(super) fn is_of_another_boot(&self) -> bool {
        boot_id().is_ok_and(|now| now != self.boot_id)
    }

    /// What stands for a node.
    pub fn node(&self, name: &str) -> Option<&NodeState> {
        self.nodes.iter().find(|node| node.node == name)
    }
}

/// The kernel's name for its present run.
pub(super) fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(path).map_err(Error::io(format!("read {path}")))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn finds_the_nodes_of_a_lab_of_another_version() {
        let text = r#"{"lab":"old","phase":"up","boot_id":"x","built":1,
            "topology":{"name":"then","nodes":[{"name":"c1","what_is_this":5}]},
            "nodes":[{"node":"c1","namespace":"old-c1","cgroup":null,"notes":[],"init":null,"netns":7,"cookie":8}]}"#;
        let state = State::read(text.as_bytes()).unwrap();
        assert_eq!((state.topology.name.as_str(), state.topology.nodes[0].name.as_str()), ("then", "c1"));
        assert!(state.node("c1").is_some());
        assert!(State::read(b"{}").is_err() && State::read(b"").is_err());
    }
}
