//! Giving a namespace a name the way `ip netns` does it.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{Error, Result, interrupt};
use crate::netns::{Netns, PINS, pin_path};

/// Makes `/run/netns` the shared mount that `ip netns add` would make, so that a name removed in one mount namespace
/// disappears from all. Nodes let go of that mount when they start, so it must be there before them.
pub(super) fn prepare_directory() -> Result<Flock<File>> {
    let make = DirBuilder::new().recursive(true).mode(0o755).create(PINS);
    make.map_err(Error::io(format!("make {PINS}")))?;
    // iproute2 takes the same lock while it does the same.
    let directory = File::open(PINS).map_err(Error::io(format!("open {PINS}")))?;
    let lock = Flock::lock(directory, FlockArg::LockExclusive)
        .map_err(|(_, error)| Error::os(format!("lock {PINS}"))(error))?;
    let share = || mount(None::<&str>, PINS, None::<&str>, MsFlags::MS_SHARED | MsFlags::MS_REC, None::<&str>);
    match share() {
        // Not a mount point yet.
        Err(Errno::EINVAL) => {
            mount(Some(PINS), PINS, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
                .and_then(|()| share())
                .map_err(Error::os(format!("mount {PINS}")))?;
        }
        other => other.map_err(Error::os(format!("share {PINS}")))?,
    }
    Ok(lock)
}

/// Gives each namespace its name. A name that exists is refused, whoever it belongs to.
pub(super) fn pin_all<'a>(pins: impl Iterator<Item = (&'a str, &'a Netns)>) -> Result<()> {
    let _lock = prepare_directory()?;
    for (name, netns) in pins {
        let path = pin_path(name);
        let what = || format!("name network namespace {name}");
        match File::options().read(true).write(true).create_new(true).mode(0o444).open(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(Error::Taken(name.to_owned())),
            other => other.map_err(Error::io(what()))?,
        };
        let source = format!("/proc/self/fd/{}", netns.as_fd().as_raw_fd());
        interrupt::crash_point();
        mount(Some(source.as_str()), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(Error::os(what()))?;
    }
    Ok(())
}

/// Whether something has this name already.
pub(super) fn is_taken(name: &str) -> bool {
    pin_path(name).symlink_metadata().is_ok()
}

/// Takes a name away. `ours` tells whether the namespace behind it is; a stranger's is left alone. A plain empty file
/// is what is left when a builder is killed between making the file and mounting the namespace on it.
pub(super) fn unpin(name: &str, ours: impl FnOnce(&Netns) -> bool) -> Result<()> {
    let path = pin_path(name);
    match Netns::at(&path) {
        Ok(netns) if ours(&netns) => {
            umount2(&path, MntFlags::MNT_DETACH).map_err(Error::os(format!("unmount {}", path.display())))?;
        }
        Ok(_) => return Ok(()),
        Err(_) if is_empty_file(&path) => {}
        Err(_) => return Ok(()),
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io(format!("remove {}", path.display()))(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn is_empty_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
}
