//! The lab as its users meet it: the real binary, on the running kernel.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{Answer, Lab, can_make_labs, lab, netobs, run, skip};
use netobs::netns::{Netns, in_netns};

/// Emulated machines are about twenty times slower.
const LONG: Duration = Duration::from_secs(60);

fn in_namespace(lab: &Lab, node: &str, command: &[&str]) -> Answer {
    run("ip", &[&["netns", "exec", &lab.netns(node)], command].concat())
}

/// Asks for something over a connection that starts in a node.
fn converse(lab: &Lab, node: &str, to: &str, request: &[u8]) -> std::io::Result<String> {
    let to: SocketAddr = to.parse().unwrap();
    let netns = Netns::open(&lab.netns(node)).unwrap();
    let talk = || {
        let mut stream = TcpStream::connect_timeout(&to, LONG)?;
        stream.set_read_timeout(Some(LONG))?;
        stream.write_all(request)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    in_netns(&netns, talk).unwrap()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONG, "not within {} s: {what}", LONG.as_secs());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn is_what_the_contract_says() {
    if !can_make_labs("is_what_the_contract_says", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    for (node, addresses, routes) in [
        ("host", &["br0 10.40.0.1/24", "up0 203.0.113.2/24"][..], "default via 203.0.113.1 dev up0"),
        ("c1", &["eth0 10.40.0.2/24"], "default via 10.40.0.1 dev eth0"),
        ("c2", &["eth0 10.40.0.3/24"], "default via 10.40.0.1 dev eth0"),
        ("inet", &["eth0 203.0.113.1/24", "lo 198.51.100.10/32"], "203.0.113.0/24 dev eth0"),
    ] {
        let shown = in_namespace(&lab, node, &["ip", "-o", "-4", "address"]).good().stdout;
        for address in addresses {
            let (device, address) = address.split_once(' ').unwrap();
            let found = shown.lines().any(|line| line.contains(device) && line.contains(&format!("inet {address} ")));
            assert!(found, "{node} has {device} {address}:\n{shown}");
        }
        let shown = in_namespace(&lab, node, &["ip", "route"]).good().stdout;
        assert!(shown.contains(routes), "{node}: {shown}");
        assert!(node != "inet" || !shown.contains("10.40"), "no route back: {shown}");
        assert_eq!(lab.exec(node, &["cat", "/proc/sys/kernel/hostname"]).good().stdout.trim(), node);
        assert!(lab.exec(node, &["cat", "/proc/1/cmdline"]).good().stdout.contains("lab-init"), "own PID 1, own /proc");
    }
    let ports = in_namespace(&lab, "host", &["ip", "-o", "link", "show", "master", "br0"]).good().stdout;
    assert!(ports.contains("c1-h") && ports.contains("c2-h"), "{ports}");
    assert!(ports.contains(&format!("alias netobs:{}", lab.name)), "marked as the lab's: {ports}");
    let forward = in_namespace(&lab, "host", &["cat", "/proc/sys/net/ipv4/ip_forward"]).good().stdout;
    assert_eq!(forward.trim(), "1");
    if Path::new("/etc/resolv.conf").exists() {
        let resolver = lab.exec("c2", &["cat", "/etc/resolv.conf"]).good().stdout;
        assert!(resolver.starts_with("# c2, in lab"), "{resolver}");
        assert!(!fs::read_to_string("/etc/resolv.conf").unwrap().contains("in lab"), "the machine's is another");
    }
}

#[test]
fn loses_no_first_packet() {
    if !can_make_labs("loses_no_first_packet", &["ip", "ping"]) {
        return;
    }
    let routes: [(&str, &[&str]); 5] = [
        ("c1", &["10.40.0.3"]),
        ("c1", &["198.51.100.10"]),
        ("c2", &["10.40.0.1"]),
        ("host", &["203.0.113.1"]),
        // Made from c2's IPv4 address.
        ("c1", &["-6", "fe80::42:aff:fe28:3%eth0"]),
    ];
    let lab = Lab::unbuilt();
    let has_ipv6 = Path::new("/proc/net/if_inet6").exists();
    let start = Instant::now();
    for round in 0..20 {
        let (from, to) = routes[round % routes.len()];
        if to.len() > 1 && !has_ipv6 {
            continue;
        }
        lab.build().good();
        in_namespace(&lab, from, &[&["ping", "-c1", "-W2"], to].concat()).good();
        lab.remove().good();
        assert_eq!(lab.remains(), [""; 0]);
        if start.elapsed() > 3 * LONG && round >= routes.len() {
            break;
        }
    }
}

#[test]
fn reaches_the_world_and_is_reached_by_its_published_port() {
    if !can_make_labs("reaches_the_world_and_is_reached_by_its_published_port", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    in_namespace(&lab, "c2", &["ping", "-c1", "-W5", "198.51.100.10"]).good();
    let get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = converse(&lab, "inet", "203.0.113.2:8080", get).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("Hello from c1") && answer.contains("You are 203.0.113.1:"), "{answer}");
    let answer = converse(&lab, "c2", "10.40.0.2:80", get).unwrap();
    assert!(answer.contains("You are 10.40.0.3:"), "no NAT on the bridge: {answer}");

    let head = converse(&lab, "c2", "10.40.0.2:80", b"HEAD / HTTP/1.0\n\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    let odd = converse(&lab, "c2", "10.40.0.2:80", b"\x16\x03\x01\r\n\r\n").unwrap();
    assert!(odd.starts_with("HTTP/1.1 400"), "{odd}");
    // Neither a silent client nor an endless one keeps others waiting.
    let silent = {
        let netns = Netns::open(&lab.netns("c2")).unwrap();
        in_netns(&netns, || TcpStream::connect("10.40.0.2:80").unwrap()).unwrap()
    };
    let _ = converse(&lab, "c2", "10.40.0.2:80", &[b'a'; 100_000]);
    assert!(converse(&lab, "c2", "10.40.0.2:80", get).unwrap().contains("Hello"));
    drop(silent);
}

/// What must be the same before and after: links, addresses, routes, rules and every setting of the network.
fn machine() -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    for arguments in [&["-j", "link"][..], &["-j", "addr"], &["-j", "route", "show", "table", "all"], &["-j", "rule"]] {
        seen.insert(format!("ip {}", arguments.join(" ")), without_clocks(&run("ip", arguments).stdout));
    }
    seen.insert("nft list ruleset".to_owned(), run("nft", &["list", "ruleset"]).stdout);
    read_all(Path::new("/proc/sys/net"), &mut seen);
    // How many connections are open just now is not a setting.
    seen.retain(|path, _| !path.ends_with("nf_conntrack_count"));
    seen
}

/// Lifetimes of leased addresses count down.
fn without_clocks(json: &str) -> String {
    json.split(',').filter(|field| !field.contains("life_time")).collect::<Vec<_>>().join(",")
}

fn read_all(folder: &Path, into: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_all(&path, into);
        } else if let Ok(text) = fs::read_to_string(&path) {
            into.insert(path.display().to_string(), text);
        }
    }
}

#[test]
fn leaves_the_machine_as_it_was() {
    if !can_make_labs("leaves_the_machine_as_it_was", &["ip"]) {
        return;
    }
    // The first one may load kernel modules, which bring settings of their own.
    drop(Lab::up());
    let before = machine();
    assert!(before.len() > 100, "{before:?}");
    let lab = Lab::up();
    let during = machine();
    lab.remove().good();
    let after = machine();
    for (what, value) in &before {
        assert_eq!(during.get(what), Some(value), "{what} while the lab is up");
        assert_eq!(after.get(what), Some(value), "{what} after the lab");
    }
    assert_eq!(before.len(), after.len());
    assert_eq!(lab.remains(), [""; 0]);
}

#[test]
fn is_removed_after_a_kill_at_any_moment() {
    if !can_make_labs("is_removed_after_a_kill_at_any_moment", &["ip"]) {
        return;
    }
    let lab = Lab::unbuilt();
    let start = Instant::now();
    lab.build().good();
    let whole = start.elapsed();
    lab.remove().good();
    let start = Instant::now();
    for round in 0..20u32 {
        let mut up = Command::new(netobs());
        up.args(["lab", "up", "--name", &lab.name]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut up = up.spawn().unwrap();
        thread::sleep(whole * round / 18);
        up.kill().unwrap();
        up.wait().unwrap();
        // Every other time, the next `up` has to cope with what is left.
        if round % 2 == 1 {
            lab.build().good();
        }
        lab.remove().good();
        eventually("nothing is left of a lab whose builder was killed", || lab.remains().is_empty());
        if start.elapsed() > 3 * LONG && round > 5 {
            break;
        }
    }
}

#[test]
fn undoes_an_interrupted_build() {
    if !can_make_labs("undoes_an_interrupted_build", &["ip"]) {
        return;
    }
    let lab = Lab::unbuilt();
    let start = Instant::now();
    lab.build().good();
    let whole = start.elapsed();
    lab.remove().good();
    let mut interrupted = 0;
    for round in 2..10u32 {
        let mut up = Command::new(netobs());
        up.args(["lab", "up", "--name", &lab.name]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let up = up.spawn().unwrap();
        thread::sleep(whole * round / 12);
        let pid = nix::unistd::Pid::from_raw(up.id().cast_signed());
        // Not SIGINT, which a shell in the background lets its children ignore; it is handled alike.
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let output = up.wait_with_output().unwrap();
        // Before it watches for signals one ends it, when nothing has been made; near the end it is done before it looks.
        if output.status.code() == Some(1) {
            let answer = Answer::from(output).bad(1, "interrupted");
            assert_eq!(lab.remains(), [""; 0], "{answer:?}");
            interrupted += 1;
        }
        lab.remove().good();
    }
    assert!(interrupted > 0, "no round was interrupted halfway");
}

#[test]
fn says_so_when_there_is_nothing_to_do() {
    if !can_make_labs("says_so_when_there_is_nothing_to_do", &["ip"]) {
        return;
    }
    let lab = Lab::unbuilt();
    assert!(lab.build().good().stdout.contains("is up after"));
    assert!(lab.build().good().stdout.contains("is up already"));
    assert!(lab.remove().good().stdout.contains("is removed"));
    assert!(lab.remove().good().stdout.contains("nothing to remove"));
}

#[test]
fn takes_one_builder_at_a_time_and_several_labs() {
    if !can_make_labs("takes_one_builder_at_a_time_and_several_labs", &["ip", "ping"]) {
        return;
    }
    let (one, other) = (Lab::unbuilt(), Lab::unbuilt());
    thread::scope(|scope| {
        let builders: Vec<_> = (0..3).map(|_| scope.spawn(|| one.build().good())).collect();
        scope.spawn(|| other.build().good());
        let said: Vec<_> = builders.into_iter().map(|builder| builder.join().unwrap().stdout).collect();
        assert_eq!(said.iter().filter(|text| text.contains("already")).count(), 2, "{said:?}");
    });
    for lab in [&one, &other] {
        in_namespace(lab, "c1", &["ping", "-c1", "-W5", "10.40.0.3"]).good();
    }
    one.remove().good();
    assert_eq!(one.remains(), [""; 0]);
    in_namespace(&other, "c1", &["ping", "-c1", "-W5", "10.40.0.3"]).good();
}

#[test]
fn ends_strangers_and_leaves_those_outside_alone() {
    if !can_make_labs("ends_strangers_and_leaves_those_outside_alone", &["ip"]) {
        return;
    }
    let lab = Lab::up();
    let mut outside = Command::new("sleep").arg("1000").spawn().unwrap();
    let mut inside = lab.start("c1", &["sleep", "1000"]);
    let mut deaf = lab.start("c2", &["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]);
    let mut by_name = Command::new("ip").args(["netns", "exec", &lab.netns("inet"), "sleep", "1000"]).spawn().unwrap();
    let netns = Netns::open(&lab.netns("inet")).unwrap().inode();
    let moved = || Netns::of_process(by_name.id().cast_signed()).is_ok_and(|its| its.inode() == netns);
    eventually("the command is inside", moved);
    lab.remove().good();
    assert_eq!(lab.remains(), [""; 0]);
    for process in [&mut inside, &mut deaf, &mut by_name] {
        assert!(!process.wait().unwrap().success());
    }
    assert!(outside.try_wait().unwrap().is_none(), "a process outside the lab lives on");
    outside.kill().unwrap();
    outside.wait().unwrap();
}

#[test]
fn copes_with_a_node_that_died() {
    if !can_make_labs("copes_with_a_node_that_died", &["ip"]) {
        return;
    }
    let own = Lab::up();
    let status = || -> serde_json::Value {
        let shown = lab(&["status", "--format", "json"]).good().stdout;
        let mut labs = shown.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        labs.find(|lab| lab["lab"] == own.name.as_str()).unwrap()
    };
    assert_eq!(status()["state"], "up");
    let pid = status()["nodes"][1]["pid"].as_i64().unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    eventually("status tells", || status()["state"] == "changed");
    own.build().bad(1, "c1: its PID 1 is not running");
    own.exec("c1", &["true"]).bad(1, "is not running any more");
    own.remove().good();
    assert_eq!(own.remains(), [""; 0]);
}

#[test]
fn tells_what_has_been_changed() {
    if !can_make_labs("tells_what_has_been_changed", &["ip", "nft"]) {
        return;
    }
    let own = Lab::up();
    in_namespace(&own, "host", &["ip", "link", "set", "c1-h", "nomaster"]).good();
    in_namespace(&own, "host", &["nft", "delete", "table", "ip", "lab"]).good();
    in_namespace(&own, "c2", &["ip", "link", "set", "eth0", "down"]).good();
    let shown = lab(&["status"]).good().stdout;
    for wrong in [
        "host: c1-h is not a port of br0",
        "host: nft table ip lab is gone",
        "host: c2-h has no carrier",
        "c2: eth0 is down",
        "c2: no route default via 10.40.0.1",
    ] {
        assert!(shown.contains(wrong), "{wrong}:\n{shown}");
    }
}

#[test]
fn touches_no_stranger_of_the_same_name() {
    if !can_make_labs("touches_no_stranger_of_the_same_name", &["ip"]) {
        return;
    }
    let lab = Lab::unbuilt();
    let theirs = lab.netns("c1");
    run("ip", &["netns", "add", &theirs]).good();
    let refused = lab.build();
    let removed = lab.remove();
    let still_there = Netns::open(&theirs).is_ok();
    run("ip", &["netns", "del", &theirs]).good();
    refused.bad(1, "exists already and is not this lab's");
    removed.good();
    assert!(still_there);
    assert_eq!(lab.remains(), [""; 0]);
}

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

    let mut running = own.start("c1", &["sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.1; done"]);
    let children = || -> bool {
        let shown = own.exec("c1", &["sh", "-c", "grep -l trap /proc/[0-9]*/cmdline | wc -l"]).good().stdout;
        // One is the search itself.
        shown.trim().parse::<u32>().unwrap() > 1
    };
    eventually("the command runs", children);
    thread::sleep(Duration::from_millis(100));
    let pid = nix::unistd::Pid::from_raw(running.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
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
    assert_eq!((&topology["type"], topology["nodes"].as_array().unwrap().len()), (&"topology".into(), 4));
}
