//! Whoever builds, mends or removes a lab is killed between any two steps; then `lab down` leaves nothing.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::common::{Answer, Lab, can_make_labs, eventually, netobs, skip};
use crate::{LONG, in_namespace};

/// Runs `netobs lab …`, which kills itself at its `step`-th crash point. Release builds have none.
fn crashing(arguments: &[&str], step: usize) -> bool {
    let mut command = Command::new(netobs());
    command.arg("lab").args(arguments).env("NETOBS_TEST_CRASH_AT", step.to_string());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let killed = output.status.code().is_none();
    let answer = Answer::from(output);
    assert!(killed || answer.status == 0, "{answer:#?}");
    killed
}

/// Every step, or every fifth once a machine has proved to be slow.
pub fn stride(start: Instant) -> usize {
    if start.elapsed() > LONG { 5 } else { 1 }
}

/// Crashes `arguments` at every step, each time in a lab that `prepare` has made.
fn crash_everywhere(test: &str, arguments: impl Fn(&Lab) -> Vec<String>, prepare: impl Fn(&Lab)) {
    let mut step = 1;
    let start = Instant::now();
    loop {
        let own = Lab::unbuilt();
        prepare(&own);
        let arguments = arguments(&own);
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let crashed = crashing(&words, step);
        // Every other lab is first built anew from what is left.
        if crashed && step.is_multiple_of(2) {
            own.build().good();
            in_namespace(&own, "c1", &["ip", "link", "show", "eth0"]).good();
        }
        own.remove().good();
        eventually("nothing is left", || own.remains().is_empty());
        if !crashed {
            break;
        }
        step += stride(start);
    }
    if step == 1 {
        return skip(test, "a release build has no crash points");
    }
    assert!(step > 5, "{step} steps");
}

#[test]
fn builder_may_crash_at_every_step() {
    if !can_make_labs("builder_may_crash_at_every_step", &["ip"]) {
        return;
    }
    let up = |own: &Lab| vec!["up".to_owned(), "--name".to_owned(), own.name.clone()];
    crash_everywhere("builder_may_crash_at_every_step", up, |_| {});
}

#[test]
fn mender_may_crash_at_every_step() {
    if crate::common::takes_too_long("mender_may_crash_at_every_step")
        || !can_make_labs("mender_may_crash_at_every_step", &["ip"])
    {
        return;
    }
    let up = |own: &Lab| vec!["up".to_owned(), "--name".to_owned(), own.name.clone()];
    let damage = |own: &Lab| {
        own.build().good();
        in_namespace(own, "host", &["ip", "link", "del", "c2-h"]).good();
        own.exec("c1", &["kill", "-TERM", "1"]);
        eventually("c1 has ended", || own.exec("c1", &["true"]).status == 1);
    };
    crash_everywhere("mender_may_crash_at_every_step", up, damage);
}

#[test]
fn remover_may_crash_at_every_step() {
    if crate::common::takes_too_long("remover_may_crash_at_every_step")
        || !can_make_labs("remover_may_crash_at_every_step", &["ip"])
    {
        return;
    }
    let down = |own: &Lab| vec!["down".to_owned(), own.name.clone()];
    crash_everywhere("remover_may_crash_at_every_step", down, |own| drop(own.build().good()));
}
