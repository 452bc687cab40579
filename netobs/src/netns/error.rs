use std::io;
use std::path::PathBuf;

/// What went wrong with a network namespace.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file under `/run/netns` has this name.
    #[error("no network namespace is called `{0}` (`ip netns list` shows those that have a name)")]
    NoSuchName(String),
    /// No process has this id.
    #[error("no process has the id {0}")]
    NoSuchProcess(i32),
    /// The text after `pid:` is not a process id.
    #[error("`{0}` is not a process id")]
    NotAPid(String),
    /// The file exists but is not a network namespace.
    #[error("{0} is not a network namespace")]
    NotANetns(PathBuf),
    /// The file of the namespace cannot be opened or read.
    #[error("open network namespace {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The directory of pinned namespaces cannot be read.
    #[error("list {path}: {source}")]
    List {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// `setns(2)`, or starting the thread that calls it, failed.
    #[error("enter network namespace {inode}: {source}")]
    Enter {
        /// The namespace.
        inode: super::NetnsInode,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// A result whose error names the namespace.
pub type Result<T> = std::result::Result<T, Error>;
