//! Real container engines, each with folders and a socket of its own: one that the machine may have is left alone.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod containerd;
pub mod docker;
pub mod podman;

use std::path::{Path, PathBuf};
use std::process::Command;

use super::common::{can_make_labs, skip, takes_too_long};

/// Whether a test can run containers with these tools; says why not.
fn can_run_containers(test: &str, tools: &[&str]) -> bool {
    if takes_too_long(test) || !can_make_labs(test, &[tools, &["runc", "tar"]].concat()) {
        return false;
    }
    let found = busybox().is_some();
    if !found {
        skip(test, "no busybox");
    }
    found
}

/// The files of an image that holds busybox, and a page to serve, as a tar in this folder.
fn pack_busybox(folder: &Path) -> PathBuf {
    let (root, tar) = (folder.join("root"), folder.join("root.tar"));
    std::fs::create_dir_all(root.join("bin")).unwrap();
    std::fs::create_dir_all(root.join("www")).unwrap();
    std::fs::write(root.join("www/index.html"), "hello\n").unwrap();
    std::fs::copy(busybox().unwrap(), root.join("bin/busybox")).unwrap();
    pack(&root, &tar);
    tar
}

/// A folder as a tar.
pub fn pack(folder: &Path, tar: &Path) {
    let packed = Command::new("tar").arg("-C").arg(folder).arg("-cf").arg(tar).arg(".").status();
    assert!(packed.unwrap().success());
}

fn busybox() -> Option<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox"].iter().map(PathBuf::from).find(|path: &PathBuf| path.is_file())
}
