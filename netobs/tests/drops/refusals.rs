//! What cannot be done is said in one line, with the contract's exit status.

use super::common::{as_nobody, can_make_labs, netobs, run};

#[test]
fn arguments_that_make_no_sense() {
    if !can_make_labs("arguments_that_make_no_sense", &[]) {
        return;
    }
    for (arguments, status, part) in [
        (&["udp and and"][..], 2, "udp and and"),
        (&["--netns", "no-such-netns"], 1, "no-such-netns"),
        (&["--device", "nosuchdevice"], 1, "nosuchdevice"),
        (&["--device", "a-name-longer-than-any-device-has"], 1, "a-name-longer-than-any-device-has"),
        (&["--interval", "10ms"], 2, "100 ms"),
    ] {
        let answer = run(netobs(), &[&["drops"], arguments].concat()).bad(status, part);
        assert_eq!(answer.stdout, "", "{answer:#?}");
    }
    for arguments in [&["--rows", "0"][..], &["--rows", "many"], &["--interval", "soon"], &["--format", "yaml"]] {
        let answer = run(netobs(), &[&["drops"], arguments].concat());
        assert_eq!((answer.status, answer.stdout.as_str()), (2, ""), "{arguments:?}: {answer:#?}");
    }
}

#[test]
fn not_root() {
    if !can_make_labs("not_root", &[]) {
        return;
    }
    as_nobody(&["drops"]).bad(3, "root");
}
