//! Commands in a node, refusals, pictures.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{Answer, Lab, can_make_labs, lab, netobs, run, skip};

#[test]
fn runs_commands_in_a_node() {
    if !can_make_labs("runs_commands_in_a_node", &["ip"]) {
        return;
    }
    let own = Lab::up();
    assert_eq!(own.exec("c1", &["sh", "-c", "exit 7"]).status, 7);
    assert_eq!(own.exec("c1", &["sh", "-c", "kill -9 $$"]).status, 128 + 9);
    assert_eq!(own.exec("c1", &["no-such-command"]).bad(1, "no-such-command").stdout, "");
    own.exec("c9", &["true"]).bad(1, "there is no node `c9`");
    lab(&["exec", "--name", "no-such-lab", "c1", "--", "true"]).bad(1, "there is no lab `no-such-lab`");
    let whole = lab(&["exec", &own.netns("c2"), "--", "cat", "/proc/sys/kernel/hostname"]).good();
    assert_eq!(whole.stdout.trim(), "c2");
    let pid = own.exec("c1", &["sh", "-c", "echo $$"]).good().stdout;
    assert!(pid.trim().parse::<u32>().unwrap() < 100, "a small id, in the node's own PID namespace: {pid}");

    let mut running = Command::new(netobs());
    running.args(["lab", "exec", "--name", &own.name, "c1", "--", "sh", "-c"]);
    running.arg("trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done");
    let mut running = running.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(running.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "ready\n");
    let pid = Pid::from_raw(running.id().cast_signed());
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(5), "the signal is passed on");
}

#[test]
fn limits_memory_to_the_container() {
    if !can_make_labs("limits_memory_to_the_container", &["ip"]) {
        return;
    }
    let own = Lab::up();
    let shown = lab(&["status", "--format", "json"]).good().stdout;
    let line = shown.lines().find(|line| line.contains(&format!("\"{}\"", own.name))).unwrap();
    let record: serde_json::Value = serde_json::from_str(line).unwrap();
    let node = &record["nodes"][1];
    if node["memory_limit"].is_null() {
        let notes = &node["notes"][0];
        assert!(notes.as_str().unwrap().starts_with("no memory limit: "), "the reason is given: {notes}");
        return skip("limits_memory_to_the_container", notes.as_str().unwrap());
    }
    // tail keeps a line without end in memory, twice the limit.
    let eat = own.exec("c1", &["sh", "-c", "head -c 268435456 /dev/zero | tail"]);
    assert_eq!(eat.status, 128 + 9, "the kernel ends the eater: {eat:?}");
    own.exec("c1", &["true"]).good();
    own.exec("c2", &["true"]).good();
}

#[test]
fn refuses_in_one_line() {
    lab(&["up", "no-such-topology"]).bad(2, "no-such-topology");
    for bad in ["Lab", "../x", "-", "a.b", ""] {
        lab(&["up", &format!("--name={bad}")]).bad(2, "cannot be a lab's name");
    }
    lab(&["graph", "--name", "no-such-lab"]).bad(1, "no-such-lab");
    assert_eq!(lab(&["exec", "c1"]).status, 2);
    run(netobs(), &["lab-init", "x"]).bad(2, "lab up");
}

#[test]
fn takes_root() {
    if !nix::unistd::geteuid().is_root() {
        return skip("takes_root", "cannot become another user without being root");
    }
    let as_nobody = |binary: &Path, arguments: &[&str]| {
        Command::new(binary).arg("lab").args(arguments).uid(65534).gid(65534).stdin(Stdio::null()).output()
    };
    // Where it was built may be out of nobody's reach.
    let copy = std::env::temp_dir().join(format!("netobs-{}", std::process::id()));
    let mut binary = PathBuf::from(netobs());
    if as_nobody(&binary, &["graph"]).is_err() {
        fs::copy(&binary, &copy).unwrap();
        binary.clone_from(&copy);
    }
    for arguments in [&["up"][..], &["down"], &["status"], &["exec", "c1", "--", "true"]] {
        Answer::from(as_nobody(&binary, arguments).unwrap()).bad(3, "takes root");
    }
    let _ = fs::remove_file(copy);
}

#[test]
fn draws_the_network() {
    let picture = lab(&["graph"]).good().stdout;
    assert!(picture.contains("10.40.0.2/24") && picture.lines().all(|line| line.chars().count() <= 100), "{picture}");
    assert!(lab(&["graph", "--format", "dot"]).good().stdout.starts_with("graph "));
    assert!(lab(&["graph", "--format", "mermaid"]).good().stdout.starts_with("flowchart "));
    let json = lab(&["graph", "--format", "json"]).good().stdout;
    let topology: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(topology["devices"].is_null() || topology["devices"].is_array(), "{topology:#}");
    assert_eq!((&topology["type"], topology["nodes"].as_array().unwrap().len()), (&"topology".into(), 4));
}

#[test]
fn draws_what_is_wrong() {
    if !can_make_labs("draws_what_is_wrong", &["ip"]) {
        return;
    }
    let own = Lab::up();
    let graph = |format: &str| lab(&["graph", "--name", &own.name, "--format", format]).good().stdout;
    for command in ["ip link set c1-h down", "ip link set c2-h mtu 1400", "ip addr add 10.40.0.77/24 dev br0"] {
        own.exec("host", &command.split(' ').collect::<Vec<_>>()).good();
    }
    for format in ["text", "dot", "mermaid"] {
        let picture = graph(format);
        for part in ["c1-h DOWN", "c2-h mtu 1400", "10.40.0.77/24", "eth0 NO CARRIER 10.40.0.2/24"] {
            assert!(picture.contains(part), "{part}\n{picture}");
        }
        assert_eq!(format != "text", picture.contains("red"), "{picture}");
    }
    let json: serde_json::Value = serde_json::from_str(&graph("json")).unwrap();
    let port = json["devices"].as_array().unwrap().iter().find(|device| device["device"] == "c1-h").unwrap();
    assert_eq!((&port["up"], &port["bridge"]), (&false.into(), &"br0".into()), "{port:#}");
}
