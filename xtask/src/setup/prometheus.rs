//! Prometheus: the machine's own, otherwise the distribution's package unpacked into the cache.
//!
//! It is not installed: its package starts a server on every machine with systemd, now and at each boot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Requirement, apt};
use crate::command::{CommandExt, which};
use crate::project::Project;

const PACKAGE: &str = "prometheus";
/// The server, and what checks and tests rules.
const PROGRAMS: [&str; 2] = ["prometheus", "promtool"];

/// The server and its tool.
pub struct Prometheus<'a> {
    project: &'a Project,
}

impl<'a> Prometheus<'a> {
    /// Prometheus, there or not.
    pub const fn new(project: &'a Project) -> Self {
        Self { project }
    }

    /// Where the programs are that were unpacked: to be looked at after the PATH.
    pub fn directory(&self) -> PathBuf {
        self.project.cache(PACKAGE)
    }
}

impl Requirement for Prometheus<'_> {
    fn missing(&self) -> Result<Option<String>> {
        let there = PROGRAMS.iter().all(|program| which(program).is_some()) || works(&self.directory());
        Ok((!there).then(|| "Prometheus for the tests of rules and dashboards, into the cache".to_owned()))
    }

    fn install(&self) -> Result<()> {
        let unpacked = self.project.cache("prometheus.unpacking");
        let ready = self.project.cache("prometheus.ready");
        for directory in [&unpacked, &ready] {
            let _ = fs::remove_dir_all(directory);
            fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        }
        // Both are programs of Go: of all that the package depends on, they need the C library.
        let package = apt::download(PACKAGE, &unpacked)?;
        Command::new("dpkg").arg("--extract").arg(package).arg(&unpacked).quietly()?;
        for program in PROGRAMS {
            let from = unpacked.join("usr/bin").join(program);
            fs::rename(from, ready.join(program)).with_context(|| format!("the package has no {program}"))?;
        }
        let _ = fs::remove_dir_all(self.directory());
        fs::rename(&ready, self.directory()).context("cannot move Prometheus into the cache")?;
        fs::remove_dir_all(&unpacked).context("cannot remove the unpacked package")
    }
}

fn works(directory: &Path) -> bool {
    PROGRAMS.iter().all(|program| Command::new(directory.join(program)).arg("--version").quietly().is_ok())
}
