//! Where things are: the work tree, its build output, and the cache of what was downloaded.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The places xtask reads and writes.
pub struct Project {
    root: PathBuf,
    cache: PathBuf,
}

impl Project {
    /// Finds the work tree that `cargo xtask` was started in, and the user's cache directory.
    pub fn find() -> Result<Self> {
        // `cargo run` sets the variable; the value of the build serves when the binary is started by hand.
        let manifest =
            env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = manifest.parent().context("the xtask package has no parent directory")?.to_path_buf();
        let cache = match env::var_os("XDG_CACHE_HOME").filter(|value| Path::new(value).is_absolute()) {
            Some(directory) => PathBuf::from(directory),
            None => env::home_dir().context("neither XDG_CACHE_HOME nor HOME is set")?.join(".cache"),
        };
        Ok(Self { root, cache: cache.join("netobs") })
    }

    /// The work tree.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's output directory of the host packages.
    pub fn target(&self) -> PathBuf {
        // cargo resolves a relative value against where it runs, and xtask runs it in the work tree.
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), |directory| self.root.join(directory))
    }

    /// Cargo's output directory of the eBPF package: one of its own, since compiler and flags differ.
    /// `netobs/build.rs` looks for the object there.
    pub fn ebpf_target(&self) -> PathBuf {
        self.root.join("target/ebpf")
    }

    /// What was downloaded or built once for this machine's user: shared by all work trees, safe to delete.
    pub fn cache(&self, entry: &str) -> PathBuf {
        self.cache.join(entry)
    }
}
