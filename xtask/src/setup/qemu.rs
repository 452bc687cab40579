//! The emulator: the machine's own when it is new enough, otherwise the distribution's backport in the cache.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Requirement;
use super::archive::Archive;
use crate::command::{CommandExt, which};
use crate::project::Project;

/// QEMU 7.2 crashes 6.12 kernels at random; 10 runs the whole matrix.
const OLDEST_MAJOR: u32 = 10;
const PACKAGE: &str = "qemu-system-x86";
const PROGRAM: &str = "qemu-system-x86_64";
/// Where the unpacked packages keep what an installed QEMU finds by itself.
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
const FIRMWARE: [&str; 3] = ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"];

/// QEMU for x86-64.
pub struct Emulator<'a> {
    project: &'a Project,
}

impl<'a> Emulator<'a> {
    /// The emulator, there or not.
    pub const fn new(project: &'a Project) -> Self {
        Self { project }
    }

    /// A command that starts it, without arguments of the machine yet.
    pub fn command(&self) -> Result<Command> {
        match self.installed().or_else(|| self.cached()) {
            Some(command) => Ok(command),
            None => bail!("QEMU is missing: run `cargo xtask setup`"),
        }
    }

    fn installed(&self) -> Option<Command> {
        let path = which(PROGRAM)?;
        is_new_enough(Command::new(&path)).then(|| Command::new(path))
    }

    fn cached(&self) -> Option<Command> {
        is_new_enough(self.unpacked(&self.directory())).then(|| {
            let mut command = self.unpacked(&self.directory());
            for directory in FIRMWARE {
                command.arg("-L").arg(self.directory().join(directory));
            }
            command
        })
    }

    fn directory(&self) -> PathBuf {
        self.project.cache("qemu")
    }

    fn unpacked(&self, root: &std::path::Path) -> Command {
        let libraries: Vec<String> =
            LIBRARIES.iter().map(|directory| root.join(directory).display().to_string()).collect();
        let mut command = Command::new(root.join("usr/bin").join(PROGRAM));
        command
            .env("LD_LIBRARY_PATH", libraries.join(":"))
            .env("QEMU_MODULE_DIR", root.join(LIBRARIES[0]).join("qemu"));
        command
    }
}

/// Also false when it cannot start, as when a library it was unpacked beside has since been removed.
fn is_new_enough(mut command: Command) -> bool {
    let version = command.arg("--version").capture().unwrap_or_default();
    let major = version.split_whitespace().nth(3).and_then(|version| version.split('.').next());
    major.and_then(|major| major.parse().ok()).is_some_and(|major: u32| major >= OLDEST_MAJOR)
}

impl Requirement for Emulator<'_> {
    fn missing(&self) -> Result<Option<String>> {
        let there = self.installed().or_else(|| self.cached()).is_some();
        Ok((!there).then(|| format!("QEMU {OLDEST_MAJOR} or newer, into the cache")))
    }

    fn install(&self) -> Result<()> {
        let root = self.project.cache("qemu.unpacking");
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
        Archive::open(self.project)?.unpack_with_dependencies(PACKAGE, &root)?;
        if !is_new_enough(self.unpacked(&root)) {
            self.unpacked(&root).arg("--version").quietly()?;
            bail!("the machine's Debian archive has no QEMU {OLDEST_MAJOR} or newer");
        }
        let _ = fs::remove_dir_all(self.directory());
        fs::rename(&root, self.directory()).context("cannot move QEMU into the cache")
    }
}
