//! The Rust compiler that compiles for BPF: rustup's nightly where it can, otherwise the one Debian packages for it.
//!
//! A stable toolchain of rustup has no `core` for BPF, and building it takes the `rust-src` component. Debian's
//! `rustc` variants come with a ready-made one.

use std::cmp::Ordering;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Requirement, apt, linker};
use crate::command::CommandExt;

/// The target that the programs are compiled for: BPF in the byte order of all supported machines.
pub const TARGET: &str = "bpfel-unknown-none";

/// A compiler that can build for [`TARGET`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiler {
    rustc: PathBuf,
    version: String,
    llvm: u32,
    builds_core: bool,
}

impl Compiler {
    /// Finds one on this machine, preferring what the user has in rustup.
    pub fn find() -> Result<Option<Self>> {
        if let Some(compiler) = nightly().filter(|compiler| linker::serves(compiler.llvm)) {
            return Ok(Some(compiler));
        }
        Ok(debian())
    }

    /// The compiler's path.
    pub fn rustc(&self) -> &Path {
        &self.rustc
    }

    /// The major version of the LLVM in it; the linker's has to be the same.
    pub const fn llvm(&self) -> u32 {
        self.llvm
    }

    /// Whether `core` has to be built from source with `-Z build-std`.
    pub const fn builds_core(&self) -> bool {
        self.builds_core
    }

    fn at(rustc: PathBuf, builds_core: bool) -> Option<Self> {
        let text = Command::new(&rustc).arg("-vV").capture().ok()?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let version = field("release:")?.to_owned();
        let llvm = field("LLVM version:")?.split('.').next()?.parse().ok()?;
        Some(Self { rustc, version, llvm, builds_core })
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = if self.builds_core { "rustup's, with rust-src" } else { "Debian's, with its own core for BPF" };
        write!(formatter, "rustc {} ({core}; LLVM {})", self.version, self.llvm)
    }
}

fn nightly() -> Option<Compiler> {
    let home = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".rustup")))?;
    let mut toolchains: Vec<PathBuf> =
        fs::read_dir(home.join("toolchains")).ok()?.flatten().map(|entry| entry.path()).collect();
    // `nightly-x86_64-…` sorts after `nightly-2026-…`: the one that rustup keeps up to date wins.
    toolchains.sort();
    let is_nightly =
        |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("nightly"));
    let has_source = |path: &&PathBuf| path.join("lib/rustlib/src/rust/library/core/Cargo.toml").exists();
    let toolchain = toolchains.iter().rev().filter(is_nightly).find(has_source)?;
    Compiler::at(toolchain.join("bin/rustc"), true)
}

/// Debian's `rustc` is one program; its variants (`rustc-web`, …) all install the same path.
fn debian() -> Option<Compiler> {
    let rustc = PathBuf::from("/usr/bin/rustc");
    let sysroot = Command::new(&rustc).args(["--print", "sysroot"]).capture().ok()?;
    let core = Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET);
    let compiler = core.exists().then(|| Compiler::at(rustc, false)).flatten()?;
    let order = apt::compare_versions(&compiler.version, env!("CARGO_PKG_RUST_VERSION")).ok()?;
    (order != Ordering::Less).then_some(compiler)
}

/// The table's row for it.
pub struct BpfCompiler;

impl Requirement for BpfCompiler {
    fn missing(&self) -> Result<Option<String>> {
        Ok(match Compiler::find()? {
            Some(_) => None,
            None => {
                Some("Debian's Rust compiler with core for BPF, since rustup has no nightly with rust-src".to_owned())
            }
        })
    }

    fn install(&self) -> Result<()> {
        apt::ensure_index()?;
        // The index may be older than the archive, or lack the suite of security updates, which brings new compilers.
        let variant = variant().or_else(|_| apt::update().and_then(|()| variant()))?;
        apt::install(&[&format!("rustc{variant}"), &format!("libstd-rust{variant}-dev-bpf")])
    }
}

/// What follows `rustc` in the name of the newest of Debian's compilers with core for BPF.
fn variant() -> Result<String> {
    let mut newest: Option<(String, String)> = None;
    for name in apt::names_starting_with("libstd-rust")? {
        let Some(variant) = name.strip_prefix("libstd-rust").and_then(|rest| rest.strip_suffix("-dev-bpf")) else {
            continue;
        };
        let Some(version) = apt::candidate(&name)? else { continue };
        let newer = match &newest {
            Some((_, known)) => apt::compare_versions(known, &version)? == Ordering::Less,
            None => true,
        };
        if newer {
            newest = Some((variant.to_owned(), version));
        }
    }
    let (variant, version) = newest.context("no package of this distribution brings core for BPF")?;
    if apt::compare_versions(&version, env!("CARGO_PKG_RUST_VERSION"))? == Ordering::Less {
        bail!("the distribution's newest Rust for BPF is {version}; netobs needs {}", env!("CARGO_PKG_RUST_VERSION"));
    }
    Ok(variant)
}
