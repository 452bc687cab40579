//! The crates that `Cargo.lock` names, so that building works offline after setup alone.

use std::process::Command;

use anyhow::Result;

use super::Requirement;
use super::compiler::TARGET;
use crate::command::{CommandExt, cargo};
use crate::project::Project;

/// The table's row for them.
pub struct Crates<'a> {
    project: &'a Project,
}

impl<'a> Crates<'a> {
    /// The crates, there or not.
    pub const fn new(project: &'a Project) -> Self {
        Self { project }
    }

    fn fetch(&self) -> Command {
        let mut command = cargo();
        command
            .args(["fetch", "--quiet", "--target", "x86_64-unknown-linux-gnu", "--target", TARGET])
            .current_dir(self.project.root());
        command
    }
}

impl Requirement for Crates<'_> {
    fn missing(&self) -> Result<Option<String>> {
        // Offline it only looks whether all are there.
        let there = self.fetch().arg("--offline").quietly().is_ok();
        Ok((!there).then(|| "the crates that Cargo.lock names".to_owned()))
    }

    fn install(&self) -> Result<()> {
        self.fetch().quietly()
    }
}
