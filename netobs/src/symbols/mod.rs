//! Kernel addresses to function names, from `/proc/kallsyms`.
//!
//! The drop tracepoint gives the address that the packet was freed from; a person wants `nf_hook_slow`. The table is
//! read at the first question and again, at most once a second, when an address is in none of it: a module or a BPF
//! program was loaded. What it cannot see is a module that was unloaded and another loaded at the very same addresses.

mod parse;
mod table;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use table::Table;

/// How long an unknown address is taken for unknown before the file is read once more: reading takes tens of
/// milliseconds, and a flood of drops in unknown code must not turn into a flood of reading.
const RELOAD: Duration = Duration::from_secs(1);

/// Why addresses cannot be turned into names here.
#[derive(Debug, thiserror::Error)]
pub enum SymbolsError {
    /// Every address in the file is 0: `kernel.kptr_restrict` hides them from this process.
    #[error(
        "{path} shows only zeros: kernel.kptr_restrict hides addresses (run as root, or sysctl -w kernel.kptr_restrict=1)"
    )]
    Restricted {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no function at all.
    #[error("{path} lists no functions (the kernel was built without CONFIG_KALLSYMS)")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What reading it returned.
        source: std::io::Error,
    },
}

/// The function an address lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Its name, without what the compiler appended (`.isra.0`, `.constprop.0`, `.part.0`, `.cold`).
    pub name: &'a str,
    /// The module it belongs to (`bpf` for BPF programs), `None` for the kernel proper.
    pub module: Option<&'a str>,
    /// Bytes from its beginning to the address.
    pub offset: u64,
}

/// The kernel's functions by address. Costs nothing until the first question.
#[derive(Debug)]
pub struct Symbols {
    path: PathBuf,
    loaded: Option<(Instant, Result<Table, SymbolsError>)>,
}

impl Default for Symbols {
    fn default() -> Self {
        Self::from_file("/proc/kallsyms")
    }
}

impl Symbols {
    /// The running kernel's.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those listed in a file like `/proc/kallsyms`.
    pub fn from_file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), loaded: None }
    }

    /// The name of the function that contains `address`. `None`: in no function known, or [`Self::unavailable`].
    pub fn name(&mut self, address: u64) -> Option<&str> {
        self.symbol(address).map(|symbol| symbol.name)
    }

    /// As [`Self::name`], with module and offset.
    pub fn symbol(&mut self, address: u64) -> Option<Symbol<'_>> {
        let known = self.table().is_ok_and(|table| table.find(address).is_some());
        if !known && self.loaded.as_ref().is_some_and(|(when, _)| when.elapsed() >= RELOAD) {
            self.loaded = None;
        }
        self.table().ok()?.find(address)
    }

    /// Why no address has a name here, if that is so. Reads the file if it has not been read.
    pub fn unavailable(&mut self) -> Option<&SymbolsError> {
        self.table().err()
    }

    fn table(&mut self) -> Result<&Table, &SymbolsError> {
        let path = &self.path;
        let (_, table) = self.loaded.get_or_insert_with(|| {
            let table = parse::read(path);
            // The interval counts from when reading ended.
            (Instant::now(), table)
        });
        table.as_ref()
    }
}
