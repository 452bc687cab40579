use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::{Error, Netns, NetnsInode, Result};

/// Where `ip netns` keeps the namespaces that have a name, one bind mount each.
pub const PINS: &str = "/run/netns";

/// The file that `ip netns add NAME` would make.
pub fn pin_path(name: &str) -> PathBuf {
    Path::new(PINS).join(name)
}

/// A namespace that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// Its name under [`PINS`].
    pub name: String,
    /// The namespace it is a name of; one namespace may have several.
    pub inode: NetnsInode,
}

/// All namespaces that have a name, sorted by name. Files that are no namespace (a pin whose mount is gone) are left
/// out, and there are none at all before the first `ip netns add` of a machine's life.
pub fn pinned() -> Result<Vec<Pinned>> {
    let failed = |source| Error::List { path: PINS.into(), source };
    let entries = match fs::read_dir(PINS) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if let Ok(netns) = Netns::at(entry.path()) {
            found.push(Pinned { name: entry.file_name().to_string_lossy().into_owned(), inode: netns.inode() });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Whether an open file is a network namespace.
pub(super) fn is_netns(file: &File) -> io::Result<bool> {
    // SAFETY: NS_GET_NSTYPE takes no argument and writes nothing; files of other file systems answer ENOTTY.
    let kind = unsafe { libc::ioctl(file.as_raw_fd(), libc::NS_GET_NSTYPE) };
    if kind >= 0 {
        return Ok(kind == libc::CLONE_NEWNET);
    }
    match io::Error::last_os_error() {
        error if matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL | libc::ENOSYS)) => Ok(false),
        error => Err(error),
    }
}
