//! Building the tests and finding the executables that cargo made of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::build::{self, Profile};
use crate::command::{CommandExt, cargo};
use crate::project::Project;

/// All test executables of the workspace.
pub struct Executables {
    /// Tests inside libraries and binaries.
    pub unit: Vec<Executable>,
    /// Tests that run the built netobs.
    pub integration: Vec<Executable>,
    /// The netobs they run.
    pub netobs: PathBuf,
}

/// One test executable.
pub struct Executable {
    /// The target's name, such as that of the file in `tests/`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The package's directory, where cargo runs its tests.
    pub directory: PathBuf,
}

impl Executable {
    /// The names of its tests that contain the filter. `None` if it cannot list them.
    pub fn tests(&self, filter: Option<&str>) -> Option<Vec<String>> {
        let listing = Command::new(&self.path).args(["--list", "--format=terse"]).args(filter).capture().ok()?;
        Some(listing.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }

    /// Whether any of its tests has a name that contains the filter.
    pub fn has_tests(&self, filter: Option<&str>) -> bool {
        // One that cannot list its tests is run, so that it is seen to fail.
        self.tests(filter).is_none_or(|tests| !tests.is_empty())
    }
}

/// A line of `cargo --message-format=json`, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    profile: Option<MessageProfile>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct MessageProfile {
    test: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Executables {
    /// Builds netobs and all tests.
    pub fn build(project: &Project) -> Result<Self> {
        let output = cargo()
            .args(["test", "--workspace", "--no-run", "--quiet", "--message-format=json-render-diagnostics"])
            .current_dir(project.root())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start cargo")?;
        if !output.status.success() {
            bail!("the tests do not compile");
        }
        let netobs = build::binary(project, Profile::Dev);
        let mut executables = Self { unit: Vec::new(), integration: Vec::new(), netobs };
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let message: Message = serde_json::from_str(line).context("cargo's messages are not understood")?;
            executables.add(message);
        }
        // cargo names them in the order in which they happened to be ready.
        executables.unit.sort_by(|left, right| left.name.cmp(&right.name));
        executables.integration.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(executables)
    }

    fn add(&mut self, message: Message) {
        let is_test = message.profile.is_some_and(|profile| profile.test);
        let (Some(path), Some(target), true) = (message.executable, message.target, is_test) else { return };
        let directory = message.manifest_path.as_deref().and_then(Path::parent).unwrap_or(Path::new("/")).to_path_buf();
        let list = if target.kind.iter().any(|kind| kind == "test") { &mut self.integration } else { &mut self.unit };
        list.push(Executable { name: target.name, path, directory });
    }
}
