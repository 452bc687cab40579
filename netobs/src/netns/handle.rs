use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::pinned::{is_netns, pin_path};
use super::{Error, Result};

/// The inode of a network namespace in nsfs: what `ip netns identify`, `lsns` and the kernel's `ns.inum` call it.
///
/// Unique among the namespaces alive now; the kernel gives a number out again after its namespace is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NetnsInode(pub u32);

impl fmt::Display for NetnsInode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl NetnsInode {
    /// That of the namespace behind a file, which is not opened: a pin, or a link in `/proc/<pid>/ns`. `None` if there is
    /// no such file or it may not be looked at.
    pub fn behind(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().and_then(|file| u32::try_from(file.ino()).ok()).map(Self)
    }

    /// That of a process's namespace.
    pub fn of_process(pid: i32) -> Option<Self> {
        Self::behind(Path::new(&format!("/proc/{pid}/ns/net")))
    }

    /// The process with the lowest id that is in it: in a container that is its first one.
    pub fn first_process(self) -> Option<i32> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| Self::of_process(*pid) == Some(self)).min()
    }
}

/// An open network namespace. It stays alive, whatever else lets go of it, for as long as this handle does.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
    inode: NetnsInode,
}

impl Netns {
    /// Opens what a user named: `host`, `pid:N`, a name under `/run/netns`, or a path (anything with a `/`).
    pub fn open(name: &str) -> Result<Self> {
        if name == "host" {
            Self::host()
        } else if let Some(pid) = name.strip_prefix("pid:") {
            Self::of_process(pid.parse().map_err(|_| Error::NotAPid(pid.to_owned()))?)
        } else if name.contains('/') {
            Self::at(name)
        } else {
            Self::pinned(name)
        }
    }

    /// The machine's own namespace: that of PID 1, or, where that may not be looked at, of the kernel's threads, or else
    /// the caller's.
    pub fn host() -> Result<Self> {
        host_path().map_or_else(Self::own, Self::at)
    }

    /// The calling thread's own namespace.
    pub fn own() -> Result<Self> {
        Self::at("/proc/thread-self/ns/net")
    }

    /// The namespace of a process.
    pub fn of_process(pid: i32) -> Result<Self> {
        Self::at(format!("/proc/{pid}/ns/net")).map_err(|error| match error {
            Error::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => Error::NoSuchProcess(pid),
            other => other,
        })
    }

    /// The namespace that `ip netns` knows under this name.
    pub fn pinned(name: &str) -> Result<Self> {
        Self::at(pin_path(name)).map_err(|error| match error {
            Error::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Error::NoSuchName(name.to_owned())
            }
            other => other,
        })
    }

    /// The namespace behind a file: a pin, or a link in `/proc/<pid>/ns`.
    pub fn at(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        if !is_netns(&file).map_err(failed)? {
            return Err(Error::NotANetns(path.to_owned()));
        }
        Self::from_fd(file.into(), path.to_owned())
    }

    /// Takes over an open descriptor; `path` is only for errors.
    fn from_fd(fd: OwnedFd, path: PathBuf) -> Result<Self> {
        let file = File::from(fd);
        let inode = file.metadata().map_err(|source| Error::Open { path: path.clone(), source })?.ino();
        // nsfs numbers its inodes with an unsigned int (struct ns_common::inum).
        let inode = u32::try_from(inode).map_err(|_| Error::NotANetns(path))?;
        Ok(Self { fd: file.into(), inode: NetnsInode(inode) })
    }

    /// Another handle of the same namespace.
    pub fn again(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()?, inode: self.inode })
    }

    /// Its inode, by which the kernel's events name it.
    pub fn inode(&self) -> NetnsInode {
        self.inode
    }
}

/// What leads to the machine's own namespace, if that may be looked at.
pub fn host_path() -> Option<&'static Path> {
    // Reading another process's namespace takes CAP_SYS_PTRACE over it, which a sandbox may withhold for PID 1. Kernel
    // threads never leave the namespace the kernel began with.
    let can_be_looked_at = |path: &Path| NetnsInode::behind(path).is_some();
    let first = Path::new("/proc/1/ns/net");
    let kernels = || Path::new("/proc/2/ns/net");
    Some(first)
        .filter(|path| can_be_looked_at(path))
        .or_else(|| is_kthreadd().then(kernels).filter(|path| can_be_looked_at(path)))
}

/// Whether PID 2 is the kernel's `kthreadd`, as it is but in a PID namespace of somebody's own. It has no memory.
fn is_kthreadd() -> bool {
    let status = fs::read_to_string("/proc/2/status").unwrap_or_default();
    status.starts_with("Name:\tkthreadd\n") && !status.contains("\nVmSize:")
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Error;
    use super::Netns;

    #[test]
    fn opens_the_own_namespace_by_every_name() {
        let own = Netns::own().unwrap();
        assert_eq!(Netns::open(&format!("pid:{}", std::process::id())).unwrap().inode(), own.inode());
        assert_eq!(Netns::open("/proc/self/ns/net").unwrap().inode(), own.inode());
    }

    #[test]
    fn says_what_is_wrong_with_a_name() {
        assert!(matches!(Netns::open("no-such-name"), Err(Error::NoSuchName(_))));
        assert!(matches!(Netns::open("pid:x"), Err(Error::NotAPid(_))));
        assert!(matches!(Netns::open("pid:2147483647"), Err(Error::NoSuchProcess(_))));
        assert!(matches!(Netns::open("/proc/self/status"), Err(Error::NotANetns(_))));
        assert!(matches!(Netns::open("/proc/self/ns/uts"), Err(Error::NotANetns(_))));
    }
}
