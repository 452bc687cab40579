use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::state::LABS;
use super::{Error, LabName, Result};

/// Only the holder may build or remove the lab. The file goes with the lock, so that nothing is left of a lab that is
/// gone; a waiter that gets the lock of a removed file tries again with the new one.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _held: Flock<File>,
}

impl Lock {
    /// Waits for the lock of this lab.
    pub(super) fn take(lab: &LabName) -> Result<Self> {
        let make = DirBuilder::new().recursive(true).mode(0o755).create(LABS);
        make.map_err(Error::io(format!("make {LABS}")))?;
        let path = Path::new(LABS).join(format!("{lab}.lock"));
        loop {
            let open = File::options().create(true).truncate(false).write(true).open(&path);
            let file = open.map_err(Error::io(format!("open {}", path.display())))?;
            let held = match Flock::lock(file, FlockArg::LockExclusive) {
                Ok(held) => held,
                Err((_, Errno::EINTR)) => return Err(Error::Interrupted),
                Err((_, error)) => return Err(Error::os(format!("lock {}", path.display()))(error)),
            };
            let still_there = match (held.metadata(), fs::metadata(&path)) {
                (Ok(ours), Ok(named)) => ours.ino() == named.ino(),
                _ => false,
            };
            if still_there {
                return Ok(Self { path, _held: held });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while still held: nobody else can have taken it.
        let _ = fs::remove_file(&self.path);
    }
}
