//! Running other programs, with errors that name what was run.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Where programs are looked up: the PATH, and the sbin directories that a plain user's PATH lacks.
const SYSTEM_DIRECTORIES: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin"];

/// Variables that cargo or rustup sets for xtask itself and that would steer a cargo run for another compiler.
const INHERITED_FROM_CARGO: [&str; 12] = [
    "CARGO",
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "LD_LIBRARY_PATH",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

/// The ways xtask runs a program.
pub trait CommandExt {
    /// Runs with xtask's own output, and fails unless the program succeeds.
    fn run(&mut self) -> Result<()>;
    /// Runs and returns its standard output; what it printed is part of the error.
    fn capture(&mut self) -> Result<String>;
    /// Runs without output; when it fails, everything it printed is part of the error.
    fn quietly(&mut self) -> Result<()>;
}

impl CommandExt for Command {
    fn run(&mut self) -> Result<()> {
        let status = self.stdin(Stdio::null()).status().with_context(|| format!("cannot start {}", line(self)))?;
        if !status.success() {
            bail!("`{}` failed: {status}", line(self));
        }
        Ok(())
    }

    fn capture(&mut self) -> Result<String> {
        let output = checked(self)?;
        String::from_utf8(output.stdout).with_context(|| format!("`{}` printed no text", line(self)))
    }

    fn quietly(&mut self) -> Result<()> {
        checked(self).map(drop)
    }
}

fn checked(command: &mut Command) -> Result<Output> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", line(command)))?;
    if !output.status.success() {
        let out = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}\n{}{}", line(command), output.status, out, err.trim_end());
    }
    Ok(output)
}

fn line(command: &Command) -> String {
    let words: Vec<_> =
        [command.get_program()].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

/// The path of an executable, or `None` when the machine has none of that name.
pub fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_DIRECTORIES.iter().map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|file| is_executable(file))
}

/// Whether the file can be executed by somebody.
pub fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The cargo that started xtask, with the environment it was started in.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The cargo that started xtask, with nothing inherited that names a compiler, flags or an output directory.
pub fn clean_cargo() -> Command {
    let mut command = cargo();
    for variable in INHERITED_FROM_CARGO {
        command.env_remove(variable);
    }
    command
}
