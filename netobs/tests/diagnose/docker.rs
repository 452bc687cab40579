//! The same faults in a network that Docker has made: docker0, masquerading and a published port.
//!
//! The engine is a real one. It runs in the network namespace of a lab's host, with folders and a socket of its own, so
//! the machine's own network, and an engine that it may have, are left alone.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{Answer, Lab, can_make_labs, has, netobs, skip, takes_too_long};
use crate::watcher;

/// The engine takes some seconds to start, on a busy machine far more.
const STARTING: Duration = Duration::from_secs(90);

/// A lab whose host runs an engine.
struct Docker {
    engine: Child,
    folder: tempfile::TempDir,
    lab: Lab,
}

impl Docker {
    fn start() -> Self {
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

    fn host(&self) -> String {
        format!("unix://{}", self.path("s").display())
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        let output =
            Command::new("docker").arg("--host").arg(self.host()).args(arguments).stdin(Stdio::null()).output();
        output.unwrap().into()
    }

    /// An image that holds busybox, and containers of it.
    fn populate(&self) {
        let root = self.path("root");
        std::fs::create_dir_all(root.join("bin")).unwrap();
        std::fs::create_dir_all(root.join("www")).unwrap();
        std::fs::write(root.join("www/index.html"), "hello\n").unwrap();
        std::fs::copy(busybox().unwrap(), root.join("bin/busybox")).unwrap();
        let tar = self.path("root.tar");
        let packed =
            Command::new("tar").args(["-C", root.to_str().unwrap(), "-cf", tar.to_str().unwrap(), "."]).status();
        assert!(packed.unwrap().success());
        self.run(&["import", tar.to_str().unwrap(), "busybox"]).good();
        let start = |options: &[&str], command: &[&str]| {
            let usual = ["run", "-d", "--ulimit", "nofile=1024:1024"];
            self.run(&[&usual, options, &["busybox", "/bin/busybox"], command].concat()).good();
        };
        start(&["--name", "web", "-p", "8081:80"], &["httpd", "-f", "-p", "80", "-h", "/www"]);
        start(&["--name", "client"], &["sleep", "600"]);
    }

    /// The address of a container.
    fn address(&self, container: &str) -> String {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        self.run(&["inspect", "--format", format, container]).good().stdout.trim().to_owned()
    }

    /// A command in the host's network namespace.
    #[track_caller]
    fn on_host(&self, command: &str) -> String {
        let words = command.split(' ');
        let output = Command::new("ip").args(["netns", "exec", &self.lab.netns("host")]).args(words).output().unwrap();
        Answer::from(output).good().stdout
    }

    /// The host's end of a container's cable.
    fn port(&self, container: &str) -> String {
        let pid = self.run(&["inspect", "--format", "{{.State.Pid}}", container]).good().stdout;
        let inside = Command::new("nsenter")
            .args(["-t", pid.trim(), "-n", "ip", "-o", "link", "show", "eth0"])
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

    /// `netobs diagnose` with this engine's containers.
    fn diagnose(&self, from: &str, to: &str) -> (i32, serde_json::Value) {
        let output = Command::new(netobs())
            .args(["diagnose", "--format", "json", "--from", from, "--to", to])
            .env("DOCKER_HOST", self.host())
            .stdin(Stdio::null())
            .output();
        let answer = Answer::from(output.unwrap());
        assert!(answer.stdout.starts_with('{'), "{answer:#?}");
        (answer.status, serde_json::from_str(&answer.stdout).unwrap())
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

fn busybox() -> Option<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox"].iter().map(PathBuf::from).find(|path: &PathBuf| Path::new(path).is_file())
}

/// How it is broken, how mended, who asks whom, and what is found.
struct Fault {
    breaks: String,
    mends: String,
    from: &'static str,
    to: String,
    cause: &'static str,
}

#[test]
fn the_faults_of_a_docker_network_are_named() {
    let test = "the_faults_of_a_docker_network_are_named";
    if takes_too_long(test) || !can_make_labs(test, &["ip", "docker", "dockerd", "iptables", "nsenter", "tar"]) {
        return;
    }
    if busybox().is_none() || !has("runc") {
        return skip(test, "no busybox, or no runc");
    }
    if watcher(test).is_none() {
        return;
    }
    let docker = Docker::start();
    docker.populate();
    let (web, port) = (docker.address("web"), docker.port("client"));
    let inet = docker.lab.netns("inet");
    let published = || "203.0.113.2:8081".to_owned();
    for (from, to) in [
        ("client", "198.51.100.10".to_owned()),
        ("client", "web".to_owned()),
        ("client", format!("{web}:80")),
        (inet.as_str(), published()),
    ] {
        let (status, record) = docker.diagnose(from, &to);
        assert_eq!((status, &record["cause"]), (0, &serde_json::Value::Null), "{from} to {to}: {record:#}");
    }
    let world = || "198.51.100.10".to_owned();
    let fault = |breaks: String, mends: String, to: String, cause| Fault { breaks, mends, from: "client", to, cause };
    let same = |undo: &str, redo: &str, rest: &str| (format!("{undo}{rest}"), format!("{redo}{rest}"));
    let (unmask, mask) =
        same("iptables -t nat -D ", "iptables -t nat -A ", "POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE");
    let (refuse, accept) =
        same("iptables -I ", "iptables -D ", "DOCKER-USER -s 172.17.0.0/16 -d 198.51.100.10 -j DROP");
    for fault in [
        fault(format!("ip link set {port} down"), format!("ip link set {port} up"), web.clone(), "host-veth-down"),
        fault(
            format!("ip link set {port} nomaster"),
            format!("ip link set {port} master docker0"),
            web.clone(),
            "veth-not-enslaved",
        ),
        fault("ip link set docker0 down".into(), "ip link set docker0 up".into(), web.clone(), "bridge-down"),
        fault(
            "sysctl -w net.ipv4.ip_forward=0".into(),
            "sysctl -w net.ipv4.ip_forward=1".into(),
            world(),
            "ip-forward-off",
        ),
        fault(unmask, mask, world(), "no-masquerade"),
        fault(refuse, accept, world(), "forward-rule-drop"),
        fault(
            format!("ip link set {port} mtu 1400"),
            format!("ip link set {port} mtu 1500"),
            world(),
            "veth-mtu-mismatch",
        ),
        fault("ip route del default".into(), "ip route add default via 203.0.113.1".into(), world(), "host-no-route"),
        fault("true".into(), "true".into(), format!("{web}:81"), "no-listener"),
    ] {
        docker.on_host(&fault.breaks);
        let (status, record) = docker.diagnose(fault.from, &fault.to);
        assert_eq!((status, &record["cause"]), (4, &fault.cause.into()), "{}: {record:#}", fault.breaks);
        assert_eq!(record["from"], "client");
        assert_eq!(record["path"]["out"]["places"][0]["netns"], "client", "{record:#}");
        docker.on_host(&fault.mends);
        // A carrier that came back is felt a moment later.
        let start = Instant::now();
        while fault.cause != "no-listener" && docker.diagnose(fault.from, &fault.to).0 != 0 {
            assert!(start.elapsed() < Duration::from_secs(20), "{} does not mend it", fault.mends);
        }
    }
}
