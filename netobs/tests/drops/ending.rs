//! How it ends, whoever ends it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::bed::{Bed, PORT, refused, send};
use super::common::{can_make_labs, netobs, run};
use super::counting::Counting;
use super::tracer::{at_most, wait};

#[test]
fn a_signal_ends_it_within_a_second_with_the_totals() {
    if !can_make_labs("a_signal_ends_it_within_a_second_with_the_totals", &["ip"]) {
        return;
    }
    let bed = Bed::new();
    for (signal, all) in [(Signal::SIGINT, 5), (Signal::SIGTERM, 10)] {
        // Nothing was printed yet when the signal comes.
        let counting = Counting::attached(&["--interval", "1h"]);
        send(&bed.left, "10.77.0.2", PORT, 5);
        refused(&bed.right, all);
        let began = Instant::now();
        counting.signal(signal);
        let counted = counting.finish();
        assert!(began.elapsed() < at_most(Duration::from_secs(1)), "{signal}: {:?}", began.elapsed());
        assert_eq!(counted.total(|row| row.is("NO_SOCKET", &bed.right, "udp")), 5, "{signal}");
    }
}

#[test]
fn the_duration_ends_it_and_text_has_the_totals() {
    if !can_make_labs("the_duration_ends_it_and_text_has_the_totals", &["ip"]) {
        return;
    }
    let bed = Bed::new();
    let mut text = Command::new(netobs());
    // Counting has begun when it says so.
    let duration = at_most(Duration::from_millis(400)).max(Duration::from_secs(2)).as_secs().to_string();
    text.args(["drops", "--duration", &duration, "--netns", &bed.right, "--explain"]).stdin(Stdio::null());
    let mut text = text.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut errors = BufReader::new(text.stderr.take().unwrap());
    errors.read_line(&mut said).unwrap();
    assert!(said.starts_with("counting: every drop in "), "{said}");
    send(&bed.left, "10.77.0.2", PORT, 1234);
    let shown = std::io::read_to_string(text.stdout.take().unwrap()).unwrap();
    assert_eq!(wait(&mut text).code(), Some(0));
    let total = shown.rsplit("\n\n").next().unwrap();
    assert!(total.starts_with("1,234 dropped in "), "{shown}");
    for part in ["NO_SOCKET", "eth0", "udp", "No drop is known to be missing.", "try: "] {
        assert!(total.contains(part), "{part}: {shown}");
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 110), "{shown}");
    assert!(!shown.contains('\x1b'), "no terminal, no colours: {shown}");
}

#[test]
fn standard_output_that_is_closed() {
    if !can_make_labs("standard_output_that_is_closed", &["ip", "sh", "head"]) {
        return;
    }
    let bed = Bed::new();
    let script = format!("{:?} drops --format json --interval 100ms --netns {} | head -1", netobs(), bed.right);
    let head = std::thread::spawn(move || {
        let began = Instant::now();
        (run("sh", &["-c", &script]), began.elapsed())
    });
    let began = Instant::now();
    while !head.is_finished() {
        send(&bed.left, "10.77.0.2", PORT, 1);
        std::thread::sleep(Duration::from_millis(20));
        assert!(began.elapsed() < at_most(Duration::from_secs(20)));
    }
    let (answer, _) = head.join().unwrap();
    assert_eq!(answer.stdout.lines().count(), 1, "{answer:#?}");
    assert!(answer.stderr.contains("standard output was closed"), "{answer:#?}");
    assert!(!answer.stderr.contains("panicked"), "{answer:#?}");
}
