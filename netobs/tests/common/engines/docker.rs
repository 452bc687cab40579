//! A real Docker engine in the network namespace of a lab's host, with folders and a socket of its own: the machine's own
//! network, and an engine that it may have, are left alone.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{can_run_containers, pack_busybox};
use crate::common::{Answer, Lab};

/// The engine takes some seconds to start, on a busy machine far more.
const STARTING: Duration = Duration::from_secs(90);

/// Whether a test can have an engine; says why not.
pub fn can_run_docker(test: &str) -> bool {
    can_run_containers(test, &["ip", "docker", "dockerd", "iptables", "nsenter"])
}

/// A lab whose host runs an engine.
pub struct Docker {
    engine: Child,
    folder: tempfile::TempDir,
    pub lab: Lab,
}

impl Docker {
    pub fn start() -> Self {
        let lab = Lab::up();
        // Short, since a socket's path is.
        let folder = tempfile::Builder::new().prefix("nd").tempdir_in("/tmp").unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        // `ip netns exec` would also hide the cgroups, which the engine needs.
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", lab.netns("host")));
        command.args(["dockerd", "--storage-driver", "vfs"]);
        command.args(["--data-root", &at("data"), "--exec-root", &at("run"), "--pidfile", &at("pid")]);
        command.args(["--host", &format!("unix://{}", at("s")), "--dns", "198.51.100.10"]);
        let log = std::fs::File::create(at("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let engine = command.spawn().unwrap();
        let docker = Self { engine, folder, lab };
        let start = Instant::now();
        while docker.run(&["version"]).status != 0 {
            assert!(start.elapsed() < STARTING, "{}", std::fs::read_to_string(docker.path("log")).unwrap());
            thread::sleep(Duration::from_millis(100));
        }
        docker
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn host(&self) -> String {
        format!("unix://{}", self.path("s").display())
    }

    pub fn run(&self, arguments: &[&str]) -> Answer {
        let output =
            Command::new("docker").arg("--host").arg(self.host()).args(arguments).stdin(Stdio::null()).output();
        output.unwrap().into()
    }

    /// An image that holds busybox, and containers of it.
    pub fn populate(&self) {
        let tar = pack_busybox(self.folder.path());
        self.run(&["import", tar.to_str().unwrap(), "busybox"]).good();
        let start = |options: &[&str], command: &[&str]| {
            let usual = ["run", "-d", "--ulimit", "nofile=1024:1024"];
            self.run(&[&usual, options, &["busybox", "/bin/busybox"], command].concat()).good();
        };
        start(&["--name", "web", "-p", "8081:80"], &["httpd", "-f", "-p", "80", "-h", "/www"]);
        start(&["--name", "client"], &["sleep", "600"]);
    }

    /// The first process of a container.
    pub fn pid(&self, container: &str) -> i32 {
        let pid = self.run(&["inspect", "--format", "{{.State.Pid}}", container]).good().stdout;
        pid.trim().parse().unwrap()
    }

    /// The address of a container.
    pub fn address(&self, container: &str) -> String {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        self.run(&["inspect", "--format", format, container]).good().stdout.trim().to_owned()
    }

    /// A command in the host's network namespace.
    #[track_caller]
    pub fn on_host(&self, command: &str) -> String {
        let words = command.split(' ');
        let output = Command::new("ip").args(["netns", "exec", &self.lab.netns("host")]).args(words).output().unwrap();
        Answer::from(output).good().stdout
    }

    /// The host's end of a container's cable.
    pub fn port(&self, container: &str) -> String {
        let inside = Command::new("nsenter")
            .args(["-t", &self.pid(container).to_string(), "-n", "ip", "-o", "link", "show", "eth0"])
            .output()
            .unwrap();
        let told = String::from_utf8(inside.stdout).unwrap();
        let (_, rest) = told.split_once("eth0@if").unwrap();
        let (index, _) = rest.split_once(':').unwrap();
        let links = self.on_host("ip -o link");
        let link = links.lines().find(|line| line.starts_with(&format!("{index}: "))).unwrap();
        let (name, _) = link.split_once(": ").unwrap().1.split_once('@').unwrap();
        name.to_owned()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.run(&["rm", "-f", "web", "client"]);
        let _ = kill(Pid::from_raw(self.engine.id().cast_signed()), Signal::SIGTERM);
        let start = Instant::now();
        while matches!(self.engine.try_wait(), Ok(None)) {
            if start.elapsed() > Duration::from_secs(20) {
                let _ = self.engine.kill();
                let _ = self.engine.wait();
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}
