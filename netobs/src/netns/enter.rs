use std::io;
use std::panic::resume_unwind;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use super::{Error, Netns, Result};

/// Runs `work` inside `netns` and returns what it returns.
///
/// It runs on a thread of its own that enters the namespace, does the work and ends. A thread that has changed its
/// namespace is never used again, so no other work can land in the wrong one. Sockets keep the namespace they were made
/// in: make one here, use it anywhere. Files under `/proc/sys/net` and child processes follow the thread, too.
pub fn in_netns<T: Send>(netns: &Netns, work: impl FnOnce() -> T + Send) -> Result<T> {
    let failed = |source| Error::Enter { inode: netns.inode(), source };
    thread::scope(|scope| {
        let inside = thread::Builder::new()
            .name(format!("netns-{}", netns.inode()))
            .spawn_scoped(scope, || {
                setns(netns, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
                Ok(work())
            })
            .map_err(failed)?;
        inside.join().unwrap_or_else(|panic| resume_unwind(panic)).map_err(failed)
    })
}

/// As [`in_netns`], for many namespaces one after another on one thread, which ends when it is done with the last: a
/// thread keeps the namespace that it is in alive. One that cannot be entered is left out.
pub fn in_each_netns<T: Send>(
    namespaces: impl Iterator<Item = Netns> + Send,
    mut work: impl FnMut(&Netns) -> T + Send,
) -> io::Result<Vec<T>> {
    thread::scope(|scope| {
        let inside = thread::Builder::new().name("netns-each".to_owned()).spawn_scoped(scope, || {
            let enter = |netns: Netns| setns(&netns, CloneFlags::CLONE_NEWNET).is_ok().then(|| work(&netns));
            namespaces.filter_map(enter).collect()
        })?;
        Ok(inside.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Makes a new namespace that has no name, with `lo` switched off and nothing else in it. It is gone with its handle.
pub fn fresh_netns() -> io::Result<Netns> {
    let inside = thread::Builder::new().name("netns-new".to_owned()).spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        Netns::own().map_err(io::Error::other)
    })?;
    inside.join().unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::{Netns, in_netns};

    #[test]
    fn leaves_the_caller_where_it_was() {
        let own = Netns::own().unwrap();
        // Entering any namespace, even one's own, takes CAP_SYS_ADMIN.
        let Ok(inside) = in_netns(&own, || Netns::own().unwrap().inode()) else { return };
        assert_eq!(inside, own.inode());
        assert_eq!(Netns::own().unwrap().inode(), own.inode());
    }
}
