//! Every built-in scenario, with its break and without.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{Lab, netobs, skip, takes_too_long};
use crate::{Played, can_observe, play};

/// Plays all of them, and says what this kernel cannot do.
#[track_caller]
fn all_pass(lab: &Lab, test: &str) {
    let outcome = play(&["--all", "--name", &lab.name]);
    for missing in &outcome.summary.unsupported {
        skip(&format!("{test} {}", missing.name), &missing.why);
    }
    let failed: Vec<_> = outcome.played.iter().filter(|played| !played.passed).map(Played::misses).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(outcome.played.iter().all(|played| played.diagnosis_right == Some(true)));
    assert_eq!(outcome.answer.status, 0, "{}", outcome.answer.stderr);
    assert_eq!((outcome.summary.passed, outcome.summary.failed), (outcome.played.len(), 0));
    assert_eq!(lab.remains(), Vec::<String>::new());
}

#[test]
fn every_scenario_is_as_expected_twice_in_a_row() {
    let test = "every_scenario_is_as_expected_twice_in_a_row";
    if !can_observe(test) {
        return;
    }
    let lab = Lab::unbuilt();
    all_pass(&lab, test);
    if !takes_too_long(&format!("{test} (the second time)")) {
        all_pass(&lab, test);
    }
}

#[test]
fn no_scenario_is_as_expected_without_its_break() {
    if takes_too_long("no_scenario_is_as_expected_without_its_break")
        || !can_observe("no_scenario_is_as_expected_without_its_break")
    {
        return;
    }
    let lab = Lab::unbuilt();
    let outcome = play(&["--all", "--leave-out-break", "--name", &lab.name]);
    assert!(outcome.played.len() > 5, "{:#?}", outcome.answer);
    for played in &outcome.played {
        assert!(played.healthy_before && !played.passed, "{:#?}", played.misses());
        assert!(!played.symptom_seen, "{} shows its symptom without its break", played.name);
        assert!(!played.signal_seen, "{} shows its signal without its break", played.name);
        // And where nothing is broken, nothing is found.
        assert_eq!(played.diagnosis_right, Some(false), "{}", played.name);
        assert_eq!(played.diagnosis["cause"], serde_json::Value::Null, "{}: {:#}", played.name, played.diagnosis);
        assert!(played.healed, "{} is broken by its fix", played.name);
    }
    assert_eq!(outcome.answer.status, 5);
    assert_eq!((outcome.summary.passed, outcome.summary.failed), (0, outcome.played.len()));
}

#[test]
fn two_labs_at_once_do_not_disturb_each_other() {
    if takes_too_long("two_labs_at_once_do_not_disturb_each_other")
        || !can_observe("two_labs_at_once_do_not_disturb_each_other")
    {
        return;
    }
    let (one, other) = (Lab::unbuilt(), Lab::unbuilt());
    let broken = thread::spawn(move || {
        let outcome = play(&["host-no-route", "no-default-route", "ip-forward-off", "--name", &one.name]);
        assert_eq!(outcome.summary.passed, 3, "{:#?}", outcome.answer);
    });
    let outcome = play(&["no-masquerade", "loopback-down", "wrong-gateway", "--name", &other.name]);
    assert_eq!(outcome.summary.passed, 3, "{:#?}", outcome.answer);
    broken.join().unwrap();
}

#[test]
fn keeps_the_lab_if_told_to_and_refuses_one_that_is_up() {
    if !can_observe("keeps_the_lab_if_told_to_and_refuses_one_that_is_up") {
        return;
    }
    let lab = Lab::unbuilt();
    assert_eq!(play(&["no-default-route", "--keep", "--name", &lab.name]).answer.status, 0);
    lab.exec("c1", &["true"]).good();
    let again = crate::run(netobs(), &["lab", "run", "no-default-route", "--name", &lab.name]);
    assert_eq!(again.status, 1, "{again:#?}");
    assert!(again.stderr.contains("is up already"), "{again:#?}");
    lab.exec("c1", &["true"]).good();
}

#[test]
fn removes_the_lab_when_interrupted() {
    if !can_observe("removes_the_lab_when_interrupted") {
        return;
    }
    for moment in [50, 400, 900] {
        let lab = Lab::unbuilt();
        let mut command = Command::new(netobs());
        command.args(["lab", "run", "--name", &lab.name, "host-veth-down", "wrong-gateway", "ip-forward-off"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(moment));
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
        let start = Instant::now();
        let status = child.wait().unwrap();
        assert!(!status.success(), "interrupted after {moment} ms: {status}");
        assert!(start.elapsed() < Duration::from_secs(30), "{:?} after {moment} ms", start.elapsed());
        assert_eq!(lab.remains(), Vec::<String>::new());
    }
}
