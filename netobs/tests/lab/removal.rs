//! What is left of a lab: nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use netobs::netns::Netns;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::LONG;
use crate::common::{Answer, Lab, can_make_labs, eventually, run};

/// How long `up` takes here and now.
fn time_to_build(lab: &Lab) -> Duration {
    let start = Instant::now();
    lab.build().good();
    let took = start.elapsed();
    lab.remove().good();
    took
}

/// What must be the same before and after: links, addresses, routes, rules and every setting of the network.
pub fn machine() -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    for arguments in [&["-j", "link"][..], &["-j", "addr"], &["-j", "route", "show", "table", "all"], &["-j", "rule"]] {
        seen.insert(format!("ip {}", arguments.join(" ")), without_clocks(&run("ip", arguments).stdout));
    }
    seen.insert("nft --stateless list ruleset".to_owned(), run("nft", &["--stateless", "list", "ruleset"]).stdout);
    read_all(Path::new("/proc/sys/net"), &mut seen);
    // How many connections are open just now is not a setting.
    seen.retain(|path, _| !path.ends_with("nf_conntrack_count"));
    seen
}

/// Lifetimes of leased addresses and of advertised routes count down.
fn without_clocks(json: &str) -> String {
    let counts_down = |field: &str| field.contains("life_time") || field.contains("expires");
    json.split(',').filter(|field| !counts_down(field)).collect::<Vec<_>>().join(",")
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
    let whole = time_to_build(&lab);
    let start = Instant::now();
    for round in 0..20u32 {
        let mut up = lab.start_building();
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
    // One that was slow would have the others interrupted when they are done.
    let whole = (0..3).map(|_| time_to_build(&lab)).min().unwrap();
    let mut interrupted = 0;
    for round in 2..10u32 {
        let up = lab.start_building();
        thread::sleep(whole * round / 12);
        let pid = Pid::from_raw(up.id().cast_signed());
        // Not SIGINT, which a shell in the background lets its children ignore; it is handled alike.
        kill(pid, Signal::SIGTERM).unwrap();
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
