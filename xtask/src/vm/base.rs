//! The part of an emulated machine's root file system that stays the same: made once per kernel, kept in the cache.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use anyhow::{Context, Result};

use super::files::Files;
use super::{modules, tools};
use crate::project::Project;
use crate::setup::kernel::DebianKernel;

/// The program that the kernel starts.
const INIT: &str = include_str!("init.sh");

/// What decides on the archive's content: an image that other sources made is not taken.
const MAKERS: [&str; 5] = [
    include_str!("base.rs"),
    include_str!("cpio.rs"),
    include_str!("files.rs"),
    include_str!("modules.rs"),
    include_str!("tools.rs"),
];

/// tcpdump becomes that user once it has its socket.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                      tcpdump:x:100:100:tcpdump:/:/bin/sh\n\
                      nobody:x:65534:65534:nobody:/:/bin/sh\n";

const KEPT: Duration = Duration::from_secs(24 * 3600);

/// The archive's path; it is made first when this machine's programs or the kernel have changed.
pub fn archive(project: &Project, kernel: &DebianKernel<'_>) -> Result<PathBuf> {
    let directory = project.cache("images");
    let path = directory.join(format!("{}-{:016x}.cpio", kernel.series(), fingerprint(kernel)?));
    if path.exists() {
        return Ok(path);
    }
    eprintln!("vm: making the image for kernel {}", kernel.release()?);
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    // Two machines may be started at once for the first time.
    let scratch = directory.join(format!("making-{}-{}", kernel.series(), process::id()));
    let made = make(kernel, &scratch, &path);
    let _ = fs::remove_dir_all(&scratch);
    made?;
    remove_old(&directory, &path);
    Ok(path)
}

fn make(kernel: &DebianKernel<'_>, scratch: &Path, path: &Path) -> Result<()> {
    fs::create_dir_all(scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    let mut files = Files::default();
    add_system(&mut files);
    tools::add(&mut files)?;
    modules::add(&mut files, kernel, scratch)?;
    let unfinished = scratch.join("archive");
    files.write(BufWriter::with_capacity(1 << 20, File::create(&unfinished).context("cannot create the image")?))?;
    fs::rename(&unfinished, path).context("cannot move the image into the cache")
}

fn add_system(files: &mut Files) {
    for directory in ["/dev", "/proc", "/sys", "/run", "/etc", "/mnt", "/real-root", "/var/lib", "/var/log"] {
        files.directory(directory, 0o755);
    }
    files.link("/var/run", "/run");
    files.directory("/root", 0o755);
    files.directory("/tmp", 0o1777);
    // Where the kernel opens the first process's standard streams, before anything is mounted.
    files.device("/dev/console", 5, 1);
    files.device("/dev/null", 1, 3);
    files.bytes("/etc/passwd", 0o644, PASSWD);
    files.bytes("/etc/group", 0o644, "root:x:0:\ntcpdump:x:100:\nnogroup:x:65534:\n");
    files.bytes("/etc/hosts", 0o644, "127.0.0.1 localhost\n::1 localhost\n");
    files.bytes("/etc/resolv.conf", 0o644, "");
    files.bytes("/etc/os-release", 0o644, "ID=netobs-vm\nPRETTY_NAME=\"netobs test machine\"\n");
    files.bytes("/init", 0o755, INIT);
}

/// Changes when the archive would.
fn fingerprint(kernel: &DebianKernel<'_>) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    (INIT, MAKERS, kernel.release()?).hash(&mut hasher);
    for program in tools::programs() {
        let metadata = fs::metadata(&program).with_context(|| format!("cannot examine {}", program.display()))?;
        (program, metadata.len(), metadata.modified().ok()).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

/// Removes the images that this one replaces. Another work tree may want a different one, so young ones are kept.
fn remove_old(directory: &Path, keep: &Path) {
    for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let age =
            fs::metadata(&path).and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
        if path != keep && path.is_file() && age.is_some_and(|age| age > KEPT) {
            let _ = fs::remove_file(path);
        }
    }
}
