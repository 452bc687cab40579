//! containerd by itself, with `ctr` to start containers.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{can_run_containers, pack, pack_busybox};
use crate::common::{Answer, run};

const STARTING: Duration = Duration::from_secs(60);
const IMAGE: &str = "docker.io/netobs/busybox:test";

/// An engine and the containers it runs.
pub struct Containerd {
    engine: Child,
    folder: tempfile::TempDir,
    started: Vec<String>,
}

/// Whether a test can have one; says why not.
pub fn can_run_containerd(test: &str) -> bool {
    can_run_containers(test, &["containerd", "ctr", "containerd-shim-runc-v2", "sha256sum"])
}

impl Containerd {
    /// With an image of busybox.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("nc").tempdir_in("/tmp").unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            at("root.d"),
            at("state"),
            at("s"),
            at("t")
        );
        std::fs::write(at("config.toml"), config).unwrap();
        let log = std::fs::File::create(at("log")).unwrap();
        let mut command = Command::new("containerd");
        command.args(["--config", &at("config.toml")]).stdin(Stdio::null());
        let engine = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let containerd = Self { engine, folder, started: Vec::new() };
        let start = Instant::now();
        while containerd.ctr(&["version"]).status != 0 {
            let log = containerd.folder.path().join("log");
            assert!(start.elapsed() < STARTING, "{}", std::fs::read_to_string(log).unwrap());
            thread::sleep(Duration::from_millis(100));
        }
        containerd.import();
        containerd
    }

    /// An archive as `docker save` makes it.
    fn import(&self) {
        let layer = pack_busybox(self.folder.path());
        let sum = run("sha256sum", &[layer.to_str().unwrap()]).good().stdout;
        let sum = sum.split(' ').next().unwrap();
        let archive = self.folder.path().join("archive");
        std::fs::create_dir(&archive).unwrap();
        std::fs::rename(layer, archive.join("layer.tar")).unwrap();
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["sha256:{sum}"]}}}}"#
        );
        std::fs::write(archive.join("config.json"), config).unwrap();
        let manifest = format!(r#"[{{"Config":"config.json","RepoTags":["{IMAGE}"],"Layers":["layer.tar"]}}]"#);
        std::fs::write(archive.join("manifest.json"), manifest).unwrap();
        let tar = self.folder.path().join("image.tar");
        pack(&archive, &tar);
        self.ctr(&["images", "import", "--snapshotter", "native", tar.to_str().unwrap()]).good();
    }

    fn ctr(&self, arguments: &[&str]) -> Answer {
        run("ctr", &[&["--address", self.folder.path().join("s").to_str().unwrap()], arguments].concat())
    }

    /// Starts a container that sleeps, and returns its first process.
    #[track_caller]
    pub fn run(&mut self, id: &str, options: &[&str]) -> i32 {
        let command = [IMAGE, id, "/bin/busybox", "sleep", "600"];
        self.started.push(id.to_owned());
        self.ctr(&[&["run", "--detach", "--snapshotter", "native"], options, &command].concat()).good();
        let tasks = self.ctr(&["tasks", "list"]).good().stdout;
        let task = tasks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let task = task.into_iter().find(|words| words[0] == id).expect(&tasks);
        task[1].parse().unwrap()
    }

    /// Ends a container and removes it.
    pub fn stop(&self, id: &str) {
        self.ctr(&["tasks", "kill", "--signal", "SIGKILL", id]);
        let start = Instant::now();
        while self.ctr(&["tasks", "delete", id]).status != 0 && start.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(50));
        }
        self.ctr(&["containers", "delete", id]);
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let left = self.ctr(&["containers", "list", "--quiet"]).stdout;
        for id in self.started.iter().filter(|id| left.contains(id.as_str())) {
            self.stop(id);
        }
        let _ = kill(Pid::from_raw(self.engine.id().cast_signed()), Signal::SIGTERM);
        let _ = self.engine.wait();
    }
}
