//! bpf-linker, built against the very LLVM that the BPF compiler has: it reads the bitcode that compiler writes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::compiler::Compiler;
use super::{Requirement, apt};
use crate::command::{CommandExt, clean_cargo, is_executable};
use crate::project::Project;

const VERSION: &str = "0.13.0";

/// The versions of LLVM that this bpf-linker can be built for.
const LLVM_VERSIONS: std::ops::RangeInclusive<u32> = 21..=23;

/// Whether a linker for that LLVM is there to be built on this machine.
pub fn serves(llvm: u32) -> bool {
    LLVM_VERSIONS.contains(&llvm)
        && (prefix(llvm).join("include/llvm").exists()
            || matches!(apt::candidate(&format!("llvm-{llvm}-dev")), Ok(Some(_))))
}

fn prefix(llvm: u32) -> PathBuf {
    Path::new("/usr/lib").join(format!("llvm-{llvm}"))
}

/// The linker in the cache.
pub struct BpfLinker<'a> {
    project: &'a Project,
}

impl<'a> BpfLinker<'a> {
    /// The linker, there or not.
    pub const fn new(project: &'a Project) -> Self {
        Self { project }
    }

    /// Its path, for a compiler with that LLVM.
    pub fn path(&self, llvm: u32) -> PathBuf {
        self.directory(llvm).join("bin/bpf-linker")
    }

    fn directory(&self, llvm: u32) -> PathBuf {
        self.project.cache("bpf-linker").join(format!("{VERSION}-llvm-{llvm}"))
    }
}

impl Requirement for BpfLinker<'_> {
    fn missing(&self) -> Result<Option<String>> {
        let what = match Compiler::find()? {
            Some(compiler) if is_executable(&self.path(compiler.llvm())) => return Ok(None),
            Some(compiler) => format!("LLVM {}'s development files", compiler.llvm()),
            None => "its LLVM's development files".to_owned(),
        };
        Ok(Some(format!("bpf-linker {VERSION}, built into the cache, and for that {what}")))
    }

    fn install(&self) -> Result<()> {
        let compiler = Compiler::find()?.context("there is no BPF compiler to build bpf-linker for")?;
        let llvm = compiler.llvm();
        eprintln!("setup: eBPF will be compiled by {compiler}");
        let packages =
            [format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev"), "zlib1g-dev".into(), "libzstd-dev".into()];
        apt::install(&apt::not_installed(packages.iter().map(String::as_str))?)?;
        let root = self.project.cache("bpf-linker").join("building");
        let _ = fs::remove_dir_all(&root);
        clean_cargo()
            .args(["install", "bpf-linker", "--version", VERSION, "--locked", "--no-track", "--quiet"])
            .args(["--no-default-features", "--features", &format!("llvm-{llvm}")])
            .arg("--root")
            .arg(&root)
            .arg("--target-dir")
            .arg(root.join("target"))
            .env("LLVM_PREFIX", prefix(llvm))
            .current_dir(self.project.root())
            .quietly()?;
        fs::remove_dir_all(root.join("target")).context("cannot remove bpf-linker's build output")?;
        let _ = fs::remove_dir_all(self.directory(llvm));
        fs::rename(&root, self.directory(llvm)).context("cannot move bpf-linker into the cache")
    }
}
