//! A lab of the benchmark's own.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use crate::command::CommandExt;

/// A lab that is up, and removed when this is dropped.
pub struct Lab {
    netobs: PathBuf,
    name: String,
}

impl Lab {
    /// Builds the default lab by a name that nobody else uses.
    pub fn up(netobs: &Path) -> Result<Self> {
        let lab = Self { netobs: netobs.to_path_buf(), name: format!("bench{}", process::id()) };
        Command::new(netobs).args(["lab", "up", "--name", &lab.name]).quietly()?;
        Ok(lab)
    }

    /// Where a node's network namespace is pinned.
    pub fn netns(&self, node: &str) -> String {
        format!("/run/netns/{}-{node}", self.name)
    }

    /// A command that will run in a node's network namespace, and as before in every other respect.
    pub fn command(&self, node: &str, program: &str) -> Result<Command> {
        let path = self.netns(node);
        let netns = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        let mut command = Command::new(program);
        let enter = move || setns(&netns, CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
        // SAFETY: the closure makes one system call and allocates nothing.
        unsafe { command.pre_exec(enter) };
        Ok(command)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = Command::new(&self.netobs).args(["lab", "down", &self.name]).quietly() {
            eprintln!("xtask: {error:#}");
        }
    }
}
