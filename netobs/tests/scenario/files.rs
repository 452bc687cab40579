//! Files of the user's own: good ones are played, of bad ones everything is said at once.

use std::fs;
use std::path::PathBuf;

use crate::common::{Lab, lab};
use crate::{can_observe, play};

fn write(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn plays_a_file_of_the_users_own() {
    if !can_observe("plays_a_file_of_the_users_own") {
        return;
    }
    let text = r#"
        name = "blocked-by-hand"
        title = "Somebody blocks a container"
        cause = "A rule in c1 drops what it sends."
        [explain]
        healthy = "All works."
        break = "A rule is loaded."
        symptom = "Sending is not permitted."
        signal = "The rule drops the packet as it is sent."
        fix = "The rule is removed."
        [[healthy]]
        from = "c1"
        ping = { to = "10.40.0.3" }
        [[break]]
        node = "c1"
        run = ["nft", "add table ip own; add chain ip own out { type filter hook output priority 0; policy drop; }"]
        [[symptom]]
        from = "c1"
        ping = { to = "10.40.0.3" }
        expect = "not-permitted"
        [[signal]]
        drop = { node = "c1", reason = "NETFILTER_DROP", function = ["nft_do_chain", "nf_hook_slow"] }
        [[fix]]
        node = "c1"
        nft = "delete table ip own"
    "#;
    let (_folder, path) = write("own.toml", text);
    let own = Lab::unbuilt();
    let outcome = play(&[path.to_str().unwrap(), "--name", &own.name]);
    assert_eq!((outcome.answer.status, outcome.summary.passed), (0, 1), "{:#?}", outcome.answer);
    assert_eq!(own.remains(), Vec::<String>::new());
}

/// A command that is given as words stays words.
#[test]
fn no_shell_sees_a_command() {
    if !can_observe("no_shell_sees_a_command") {
        return;
    }
    let text = lab(&["scenarios", "--show", "no-default-route"]).good().stdout;
    let trap = "\n[[setup]]\nnode = \"c1\"\nrun = [\"true\", \"; touch\", \"$(touch x)\", \"`touch x`\"]\n";
    let (folder, path) = write("trap.toml", &(text + trap));
    let own = Lab::unbuilt();
    let outcome = play(&[path.to_str().unwrap(), "--name", &own.name]);
    assert_eq!(outcome.summary.passed, 1, "{:#?}", outcome.answer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn says_everything_that_is_wrong_at_once() {
    let text = r#"name = "Bad Name"
title = 5
cause = "c"
colour = "red"
[[healthy]]
from = "c1"
ping = { to = "10.40.0.999" }
[[break]]
node = "host"
sysctl = { "kernel.panic" = 1 }
[[break]]
node = "host"
[[break]]
node = "host"
nat = true
nft = "x"
[[symptom]]
from = "c1"
ping = { to = "10.40.0.1", size = "big" }
[[symptom]]
from = "c1"
ping = { to = "10.40.0.1" }
expect = "sadness"
[[signal]]
drop = { node = "host", reasons = "X" }
[[signal]]
counter = { node = "host", name = "../../etc/passwd" }
[diagnose]
from = "c1"
to = "10.40.0.3:80"
proto = "icmp"
[metrics]
node = "host"
rises = ['netobs_mtu_drops_total{cause="mtu"}']
"#;
    let (_folder, path) = write("bad.toml", text);
    let answer = lab(&["run", path.to_str().unwrap()]);
    assert_eq!(answer.status, 2, "{answer:#?}");
    let said = &answer.stderr;
    let expected = [
        ("", "Bad Name"),
        (":2:", "string"),
        (":4:", "colour"),
        (":7:", "IP address"),
        (":8:", "kernel.panic"),
        (":11:", "a step has one of"),
        (":13:", "both"),
        (":19:", "big"),
        (":20:", "sadness"),
        (":25:", "reasons"),
        (":26:", "not a counter"),
        (":28:", "icmp knows no ports"),
        (":32:", "no label of `netobs_mtu_drops_total`"),
        ("", "[[fix]] is missing"),
        ("", "[explain] is missing"),
    ];
    for (line, part) in expected {
        let found = said.lines().any(|said| said.contains(part) && said.contains(&format!("bad.toml{line}")));
        assert!(found, "{line} {part}\n{said}");
    }
    assert_eq!(said.lines().count(), expected.len(), "{said}");
    let (_folder, path) = write("worse.toml", "name = \n[[healthy]\nx = 1\n");
    let answer = lab(&["run", path.to_str().unwrap()]);
    assert_eq!(answer.status, 2, "{answer:#?}");
    assert!(answer.stderr.contains("worse.toml:1:") && answer.stderr.contains("worse.toml:2:"), "{answer:#?}");
}
