//! Podman, which needs no engine that runs.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{can_run_containers, pack_busybox};
use crate::common::Answer;

const STARTING: Duration = Duration::from_secs(60);
/// No more than a machine may grant that lets nobody raise a limit.
const CONFIG: &str =
    "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\nlog_driver = \"none\"\n";

/// Its folders, and the containers in them.
pub struct Podman {
    folder: tempfile::TempDir,
    service: Option<Child>,
}

/// Whether a test can have one; says why not.
pub fn can_run_podman(test: &str) -> bool {
    can_run_containers(test, &["podman", "conmon"])
}

fn lists(socket: &Path) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(b"GET /v4.0.0/libpod/containers/json HTTP/1.0\r\nHost: d\r\n\r\n")?;
    std::io::read_to_string(stream)
}

impl Podman {
    /// With an image of busybox.
    pub fn new() -> Self {
        let podman = Self { folder: tempfile::Builder::new().prefix("np").tempdir_in("/tmp").unwrap(), service: None };
        std::fs::write(podman.at("containers.conf"), CONFIG).unwrap();
        let tar = pack_busybox(podman.folder.path());
        podman.podman(&["import", tar.to_str().unwrap(), "busybox"]).good();
        podman
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.arg("--root").arg(self.at("kept")).arg("--runroot").arg(self.at("running"));
        command.arg("--tmpdir").arg(self.at("tmp")).args(["--storage-driver", "vfs", "--runtime", "runc"]);
        command.args(["--cgroup-manager", "cgroupfs", "--events-backend", "none"]).args(arguments);
        command.env("CONTAINERS_CONF", self.at("containers.conf")).stdin(Stdio::null());
        command
    }

    fn podman(&self, arguments: &[&str]) -> Answer {
        self.command(arguments).output().unwrap().into()
    }

    /// Has it answer at a socket from now on, and says which.
    pub fn serve(&mut self) -> String {
        let socket = self.at("s");
        let host = format!("unix://{}", socket.display());
        let mut service = self.command(&["system", "service", "--time", "0", &host]);
        self.service = Some(service.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let start = Instant::now();
        // The first list takes long.
        while !lists(&socket).is_ok_and(|answer| answer.starts_with("HTTP/1.0 200")) {
            assert!(start.elapsed() < STARTING);
            thread::sleep(Duration::from_millis(50));
        }
        host
    }

    /// Makes a pod, which is empty.
    #[track_caller]
    pub fn make_pod(&self, name: &str) {
        let holder = ["--infra-image", "busybox", "--infra-command", "/bin/busybox sleep 600"];
        self.podman(&[&["pod", "create", "--network", "none", "--name", name], &holder[..]].concat()).good();
    }

    /// Starts a container that sleeps, with these options, and returns its first process.
    #[track_caller]
    pub fn run(&self, name: &str, options: &[&str]) -> i32 {
        let command = ["busybox", "/bin/busybox", "sleep", "600"];
        self.podman(&[&["run", "--detach", "--name", name], options, &command].concat()).good();
        let pid = self.podman(&["inspect", "--format", "{{.State.Pid}}", name]).good().stdout;
        pid.trim().parse().unwrap()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        if let Some(service) = &mut self.service {
            let _ = service.kill();
            let _ = service.wait();
        }
        self.podman(&["pod", "rm", "--all", "--force", "--time", "0"]);
        self.podman(&["rm", "--all", "--force", "--time", "0"]);
    }
}
