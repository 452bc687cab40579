//! What can be asked, and what is said of questions that make no sense.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{Lab, can_make_labs, netobs, takes_too_long};
use crate::{told, watcher};

#[test]
fn questions_that_make_no_sense_are_refused_in_one_line() {
    if !can_make_labs("questions_that_make_no_sense_are_refused_in_one_line", &[]) {
        return;
    }
    let lab = Lab::up();
    let c1 = lab.netns("c1");
    for (from, more, part) in [
        (c1.as_str(), &["--to", "10.40.0.999"][..], "neither an address nor a name"),
        (&c1, &["--to", "10.40.0.1:0"], "no port"),
        (&c1, &["--to", "10.40.0.1:http"], "no port"),
        (&c1, &["--to", "10.40.0.1:80", "--proto", "icmp"], "icmp knows no ports"),
        (&c1, &["--to", "10.40.0.1", "--proto", "tcp"], "tcp needs a port: 10.40.0.1:PORT"),
        (&c1, &["--to", "nobody.example"], "knows no `nobody.example`"),
        (&c1, &["--to", "$(reboot)"], "neither an address nor a name"),
        ("no-such-endpoint", &["--to", "10.40.0.1"], "there is no node, container or namespace `no-such-endpoint`"),
        ("\u{1b}[2J", &["--to", "10.40.0.1"], r"`\u{1b}[2J`"),
    ] {
        told(&[&["--from", from], more].concat()).bad(2, part);
    }
    told(&["--from", "pid:2147483647", "--to", "10.40.0.1"]).bad(1, "2147483647");
    let answer = told(&["--from", &c1, "--to", "10.40.0.1", "--proto", "sctp"]);
    assert_eq!(answer.status, 2, "{answer:#?}");
}

/// An endpoint by every name that it has; a target by address, by a neighbour's name and by a name that is looked up.
#[test]
fn names_mean_what_they_do_to_the_sender() {
    let test = "names_mean_what_they_do_to_the_sender";
    if takes_too_long(test) || watcher(test).is_none() {
        return;
    }
    let lab = Lab::up();
    let c1 = lab.netns("c1");
    let to = |from: &str, to: &str| {
        let answer = told(&["--from", from, "--to", to, "--format", "json"]);
        let record: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap_or_else(|_| panic!("{answer:#?}"));
        assert_eq!(answer.status, if record["healthy"] == true { 0 } else { 4 }, "{answer:#?}");
        record["to"].as_str().unwrap().to_owned()
    };
    assert_eq!(to(&c1, "c2"), "10.40.0.3");
    assert_eq!(to(&c1, &lab.netns("c2")), "10.40.0.3");
    assert_eq!(to(&c1, "inet.:80"), "203.0.113.1:80");
    assert_eq!(to(&format!("/run/netns/{c1}"), "10.40.0.1"), "10.40.0.1");
    let mut process = lab.start("c1", &["sleep", "60"]);
    let inside = child_of(process.id());
    assert_eq!(to(&format!("pid:{inside}"), "10.40.0.3:80"), "10.40.0.3:80");
    kill(Pid::from_raw(process.id().cast_signed()), Signal::SIGTERM).unwrap();
    process.wait().unwrap();
}

/// The command that `netobs lab exec` has started.
fn child_of(pid: u32) -> u32 {
    let list = format!("/proc/{pid}/task/{pid}/children");
    let start = Instant::now();
    loop {
        let text = std::fs::read_to_string(&list).unwrap();
        if let Some(child) = text.split_whitespace().next() {
            return child.parse().unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(10), "it has started nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A name that nobody can look up becomes the question why.
#[test]
fn a_name_server_that_does_not_answer_is_asked_about() {
    if watcher("a_name_server_that_does_not_answer_is_asked_about").is_none() {
        return;
    }
    let own = Lab::up();
    crate::common::lab(&["break", "dns-unreachable", "--name", &own.name]).good();
    let answer = told(&["--from", &own.netns("c1"), "--to", "www.example.org:443", "--format", "json"]);
    let record: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!((answer.status, &record["cause"]), (4, &"dns-unreachable".into()), "{answer:#?}");
    assert!(answer.stderr.contains("10.40.0.1, its name server, does not answer"), "{answer:#?}");
}

#[test]
fn ends_when_told_to() {
    if !can_make_labs("ends_when_told_to", &[]) {
        return;
    }
    let own = Lab::up();
    crate::common::lab(&["break", "forward-policy-drop", "--name", &own.name]).good();
    for moment in [30, 300] {
        let mut command = Command::new(netobs());
        command.args(["diagnose", "--from", &own.netns("c1"), "--to", "198.51.100.10"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(moment));
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
        let start = Instant::now();
        child.wait().unwrap();
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}
