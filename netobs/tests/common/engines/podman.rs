//! Podman, which needs no engine that runs.

use std::path::PathBuf;

use super::{can_run_containers, pack_busybox};
use crate::common::{Answer, run};

/// Its folders, and the containers in them.
pub struct Podman {
    folder: tempfile::TempDir,
}

/// Whether a test can have one; says why not.
pub fn can_run_podman(test: &str) -> bool {
    can_run_containers(test, &["podman", "conmon"])
}

impl Podman {
    /// With an image of busybox.
    pub fn new() -> Self {
        let podman = Self { folder: tempfile::Builder::new().prefix("np").tempdir_in("/tmp").unwrap() };
        let tar = pack_busybox(podman.folder.path());
        podman.podman(&["import", tar.to_str().unwrap(), "busybox"]).good();
        podman
    }

    fn podman(&self, arguments: &[&str]) -> Answer {
        let at = |name: &str| -> PathBuf { self.folder.path().join(name) };
        let (kept, running, tmp) = (at("kept"), at("running"), at("tmp"));
        let folders = ["--root", kept.to_str().unwrap(), "--runroot", running.to_str().unwrap()];
        let usual = ["--tmpdir", tmp.to_str().unwrap(), "--storage-driver", "vfs", "--runtime", "runc"];
        let usual = [&usual[..], &["--cgroup-manager", "cgroupfs", "--events-backend", "none"]].concat();
        run("podman", &[&folders[..], &usual, arguments].concat())
    }

    /// Starts a container that sleeps, and returns its first process.
    #[track_caller]
    pub fn run(&self, name: &str) -> i32 {
        let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
        let usual = ["run", "--detach", "--network", "none", "--log-driver", "none", "--name", name];
        self.podman(&[&usual[..], &limits, &["busybox", "/bin/busybox", "sleep", "600"]].concat()).good();
        let pid = self.podman(&["inspect", "--format", "{{.State.Pid}}", name]).good().stdout;
        pid.trim().parse().unwrap()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.podman(&["rm", "--all", "--force", "--time", "0"]);
    }
}
