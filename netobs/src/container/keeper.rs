//! Beside each container's first process an engine leaves one that waits for its end: containerd's shim, or conmon for
//! Podman and CRI-O. It knows the container's folder wherever that may be, as a rootless user's engine has it elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

use super::bundle::described;
use super::cgroup::Group;
use super::{Owner, Runtime};

/// Whose a process of this group is, by the process that keeps it. `None` if none does.
pub(super) fn owner(pid: i32, group: &Group) -> Option<Owner> {
    let keeper = PathBuf::from(format!("/proc/{}", parent(pid)?));
    let command = fs::read(keeper.join("cmdline")).ok()?;
    let words: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let after = |flags: [&str; 2]| {
        let at = words.iter().position(|word| flags.contains(&&**word))?;
        words.get(at + 1).map(|word| &**word)
    };
    let program = Path::new(words.first()?.as_ref()).file_name()?.to_str()?.to_owned();
    if program.starts_with("containerd-shim") {
        let runtime = if after(["-namespace"; 2])? == "moby" { Runtime::Docker } else { Runtime::Containerd };
        // It works in a bundle, and a pod's containers share one shim: the others' bundles are beside the first's.
        let bundle = keeper.join("cwd/..").join(&group.id);
        return described(&bundle, Owner::nameless(Some(runtime), &group.id));
    }
    if program != "conmon" || after(["-c", "--cid"])? != group.id {
        return None;
    }
    let mut owner = Owner::nameless(Some(group.runtime.unwrap_or(Runtime::Podman)), &group.id);
    if let Some(name) = after(["-n", "--name"]) {
        name.clone_into(&mut owner.container);
    }
    // Where it sees files, which may not be where we do.
    let bundle = after(["-b", "--bundle"])?.trim_start_matches('/');
    Some(described(&keeper.join("root").join(bundle), owner.clone()).unwrap_or(owner))
}

fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}
