//! Containers of real engines: what is dropped in them carries their name.

use super::bed::{PORT, ip, send};
use super::common::run;
use super::engines::containerd::{Containerd, can_run_containerd};
use super::engines::docker::{Docker, can_run_docker};
use super::engines::podman::{Podman, can_run_podman};
use super::served::{Agent, Scrape};

/// Who a container is, as `netns_info` tells it, and its namespace's name.
struct Expected {
    netns: &'static str,
    runtime: &'static str,
    container: &'static str,
    pod: &'static str,
    namespace: &'static str,
}

/// A namespace with a name, gone with it.
struct Pin(String);

impl Pin {
    fn new(name: &str) -> Self {
        run("ip", &["netns", "add", name]).good();
        ip(name, "link set lo up");
        Self(name.to_owned())
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        run("ip", &["netns", "del", &self.0]);
    }
}

/// Drops so many datagrams in a container, by its first process, and waits until they are told under its name.
#[track_caller]
fn drops_carry(agent: &Agent, pid: i32, to: &str, expected: &Expected) -> Scrape {
    let Expected { netns, runtime, container, pod, namespace } = expected;
    let drops = |scrape: &Scrape| {
        scrape.count(&format!("packet_drops_total{{netns=\"{netns}\",reason=\"NO_SOCKET\",cause=\"no-listener\"}}"))
    };
    let before = drops(&agent.scrape());
    send(&format!("pid:{pid}"), to, PORT, 200);
    let scrape = agent.scrape_until("its drops", |scrape| drops(scrape) >= before + 200);
    assert_eq!(drops(&scrape), before + 200);
    let inode = std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap().display().to_string();
    let inode = inode.trim_matches(|c: char| !c.is_ascii_digit());
    let info = format!(
        "netns_info{{netns=\"{netns}\",inode=\"{inode}\",runtime=\"{runtime}\",container=\"{container}\",pod=\"{pod}\",namespace=\"{namespace}\"}}"
    );
    assert_eq!(scrape.get(&info), Some(1.0), "{info}: {:#?}", scrape.with("netns_info", "inode", inode));
    scrape
}

#[test]
fn drops_in_a_docker_container_carry_its_name() {
    if !can_run_docker("drops_in_a_docker_container_carry_its_name") {
        return;
    }
    let docker = Docker::start();
    let agent = Agent::ready_by(Agent::command(&[]).env("DOCKER_HOST", docker.host()));
    docker.populate();
    let web = Expected { netns: "web", runtime: "docker", container: "web", pod: "", namespace: "" };
    drops_carry(&agent, docker.pid("web"), "127.0.0.1", &web);
    // From another container, and over the bridge.
    let closed = "packet_drops_total{netns=\"web\",reason=\"NO_SOCKET\",cause=\"no-listener\"}";
    send(&format!("pid:{}", docker.pid("client")), &docker.address("web"), PORT, 100);
    let scrape = agent.scrape_until("drops by the bridge", |scrape| scrape.count(closed) >= 300);
    assert_eq!(scrape.count(closed), 300);
    let sent = "hop_packets_total{netns=\"client\",device=\"eth0\",hook=\"net_dev_queue\"}";
    assert!(scrape.count(sent) >= 100, "{}", scrape.text);
    // Started with a name it did not have before; its drops were counted from the first on.
    docker.run(&["rm", "-f", "web"]).good();
    let again =
        ["run", "-d", "--ulimit", "nofile=1024:1024", "--name", "web", "busybox", "/bin/busybox", "sleep", "600"];
    docker.run(&again).good();
    drops_carry(&agent, docker.pid("web"), "127.0.0.1", &web);
}

#[test]
fn drops_in_a_container_of_containerd_carry_its_name_or_its_pods() {
    if !can_run_containerd("drops_in_a_container_of_containerd_carry_its_name_or_its_pods") {
        return;
    }
    let mut containerd = Containerd::start();
    let agent = Agent::ready(&[]);
    // Typed by a person; and as Kubernetes has it.
    let name = format!("web-{}", std::process::id());
    let name: &'static str = name.leak();
    let pid = containerd.run(name, &[]);
    let typed = Expected { netns: name, runtime: "containerd", container: name, pod: "", namespace: "" };
    drops_carry(&agent, pid, "127.0.0.1", &typed);
    let pod = ["io.kubernetes.cri.sandbox-name=web-0", "io.kubernetes.cri.sandbox-namespace=shop"];
    let pod = [
        &["--annotation", pod[0], "--annotation", pod[1]][..],
        &["--annotation", "io.kubernetes.cri.container-name=nginx"],
    ];
    let (uid, id) = ("0a1b2c3d-0000-4000-8000-00000000abcd", "5e".repeat(32));
    let group = format!("/kubepods/burstable/pod{uid}/{id}");
    // Its namespace is there before it, under a name that the network's plugin gave it, and after it.
    let cni = Pin::new(&format!("cni-{}", std::process::id()));
    let present = |scrape: &Scrape, netns: &str| scrape.with("netns_info", "netns", netns).len();
    assert_eq!(present(&agent.scrape(), &cni.0), 1);
    let path = format!("network:/run/netns/{}", cni.0);
    let pid = containerd.run(&id, &[&pod.concat(), &["--cgroup", &group, "--with-ns", &path][..]].concat());
    let in_pod =
        Expected { netns: "shop/web-0", runtime: "containerd", container: "nginx", pod: "web-0", namespace: "shop" };
    let scrape = drops_carry(&agent, pid, "127.0.0.1", &in_pod);
    assert_eq!(present(&scrape, &cni.0), 0, "{:#?}", scrape.with("netns_info", "netns", &cni.0));
    containerd.stop(&id);
    let scrape = agent.scrape();
    assert_eq!((present(&scrape, "shop/web-0"), present(&scrape, &cni.0)), (1, 0));
    drop(cni);
    agent.scrape_until("the pod is gone", |scrape| present(scrape, "shop/web-0") == 0);
}

#[test]
fn drops_in_a_podman_container_carry_its_name() {
    if !can_run_podman("drops_in_a_podman_container_carry_its_name") {
        return;
    }
    let mut podman = Podman::new();
    let agent = Agent::ready(&[]);
    let cellar = Expected { netns: "cellar", runtime: "podman", container: "cellar", pod: "", namespace: "" };
    drops_carry(&agent, podman.run("cellar", &["--network", "none"]), "127.0.0.1", &cellar);
    // A pod of its own. The first container in it has a name that nobody gave it.
    podman.make_pod("winery");
    let pid = podman.run("press", &["--pod", "winery"]);
    let press = Expected { netns: "press", runtime: "podman", container: "press", pod: "", namespace: "" };
    drops_carry(&agent, pid, "127.0.0.1", &press);
    // Only Podman itself knows the pod.
    let asking = Agent::ready_by(Agent::command(&[]).env("CONTAINER_HOST", podman.serve()));
    let winery = Expected { netns: "winery", runtime: "podman", container: "", pod: "winery", namespace: "" };
    drops_carry(&asking, pid, "127.0.0.1", &winery);
}
