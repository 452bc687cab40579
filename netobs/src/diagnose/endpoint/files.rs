//! A file as a process in a container sees it.

use std::fs::File;
use std::io::{self, Read};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

/// No `/etc/hosts` or `/etc/resolv.conf` is longer.
const LONGEST: u64 = 1 << 20;

/// The text of a file under the root directory of a process. A link that somebody has made there leads to nowhere
/// outside that root, and what never ends (a pipe, a device) is not waited for.
///
/// # Errors
/// The process is gone, it has no such file, or the file is no ordinary one.
pub fn read_inside(pid: i32, path: &str) -> io::Result<String> {
    let root = format!("/proc/{pid}/root");
    let root = open(root.as_str(), OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let file = File::from(openat2(&root, path, how)?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not an ordinary file"));
    }
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::read_inside;

    #[test]
    fn reads_as_the_process_does() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(read_inside(own, "/etc/hosts").ok(), std::fs::read_to_string("/etc/hosts").ok());
        assert!(read_inside(own, "/dev/zero").is_err());
        assert!(read_inside(own, "/etc/no-such-file").is_err());
        assert!(read_inside(-1, "/etc/hosts").is_err());
    }
}
