//! The same faults in a network that Docker has made: docker0, masquerading and a published port.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netobs::netns::{Netns, in_netns};

use crate::common::{Answer, eventually, netobs};
use crate::engines::docker::{Docker, can_run_docker};
use crate::watcher;

/// `netobs diagnose` with an engine's containers.
fn diagnose(docker: &Docker, from: &str, to: &str) -> (i32, serde_json::Value) {
    let output = Command::new(netobs())
        .args(["diagnose", "--format", "json", "--from", from, "--to", to])
        .env("DOCKER_HOST", docker.host())
        .stdin(Stdio::null())
        .output();
    let answer = Answer::from(output.unwrap());
    assert!(answer.stdout.starts_with('{'), "{answer:#?}");
    (answer.status, serde_json::from_str(&answer.stdout).unwrap())
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
    if !can_run_docker(test) {
        return;
    }
    if watcher(test).is_none() {
        return;
    }
    let docker = Docker::start();
    docker.populate();
    let (web, port) = (docker.address("web"), docker.port("client"));
    // A container that has been started may not listen yet.
    let host = Netns::open(&docker.lab.netns("host")).unwrap();
    let listens = || in_netns(&host, || TcpStream::connect((web.as_str(), 80)).is_ok()).unwrap();
    eventually("the container listens", listens);
    let inet = docker.lab.netns("inet");
    let published = || "203.0.113.2:8081".to_owned();
    for (from, to) in [
        ("client", "198.51.100.10".to_owned()),
        ("client", "web".to_owned()),
        ("client", format!("{web}:80")),
        (inet.as_str(), published()),
    ] {
        let (status, record) = diagnose(&docker, from, &to);
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
        let (status, record) = diagnose(&docker, fault.from, &fault.to);
        assert_eq!((status, &record["cause"]), (4, &fault.cause.into()), "{}: {record:#}", fault.breaks);
        assert_eq!(record["from"], "client");
        assert_eq!(record["path"]["out"]["places"][0]["netns"], "client", "{record:#}");
        docker.on_host(&fault.mends);
        // A carrier that came back is felt a moment later.
        let start = Instant::now();
        while fault.cause != "no-listener" && diagnose(&docker, fault.from, &fault.to).0 != 0 {
            assert!(start.elapsed() < Duration::from_secs(20), "{} does not mend it", fault.mends);
        }
    }
}
