//! What was made and must be unmade, kept where it outlives the process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::owner::Owner;
use crate::netlink::{Ifindex, Link};
use crate::netns::NetnsInode;

/// One file for each run that made a qdisc; gone with the machine's next boot, as the qdiscs are.
const DIRECTORY: &str = "/run/netobs/clsact";

/// A `clsact` qdisc that we made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    netns: u32,
    ifindex: Ifindex,
    device: String,
    /// Numbers and names are used again for later devices; random link-layer addresses are not.
    mac: Option<String>,
}

impl Made {
    /// One for this link.
    pub fn new(netns: NetnsInode, link: &Link) -> Self {
        Self {
            netns: netns.0,
            ifindex: link.ifindex,
            device: link.name.clone(),
            mac: link.mac.map(|mac| mac.to_string()),
        }
    }

    /// The namespace.
    pub fn netns(&self) -> NetnsInode {
        NetnsInode(self.netns)
    }

    /// The device's number.
    pub fn ifindex(&self) -> Ifindex {
        self.ifindex
    }

    /// The device's name when the qdisc was made.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Whether the device with this number is still the same one. It may have been renamed.
    pub fn is_of(&self, netns: NetnsInode, link: &Link) -> bool {
        let Self { mac, .. } = Self::new(netns, link);
        self.netns == netns.0 && self.ifindex == link.ifindex && self.mac == mac
    }
}

/// The record of one run.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    /// What is to be unmade.
    pub made: Vec<Made>,
}

impl Record {
    /// An empty one; nothing is written yet.
    pub fn of(owner: Owner) -> Self {
        Self { path: Path::new(DIRECTORY).join(format!("{owner}.json")), made: Vec::new() }
    }

    /// Those of runs that ended without cleaning up.
    pub fn of_the_dead() -> Vec<Self> {
        let entries = fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| {
                let path = entry.path();
                let owner = Owner::from_mark(path.file_stem()?.to_str()?)?;
                // One that cannot be read says nothing, and goes when it is saved.
                let made = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
                (!owner.is_alive()).then_some(Self { path, made })
            })
            .collect()
    }

    /// Writes the file, or removes it when nothing is left to unmake.
    ///
    /// # Errors
    /// The directory cannot be made or written.
    pub fn save(&self) -> io::Result<()> {
        if self.made.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        fs::create_dir_all(DIRECTORY)?;
        // Never half a file, should we be killed now.
        let unfinished = self.path.with_extension("new");
        fs::write(&unfinished, serde_json::to_vec(&self.made)?)?;
        fs::rename(unfinished, &self.path)
    }
}
