//! What cannot be done is said in one line, with the contract's exit status.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::common::{Answer, Lab, as_nobody, can_make_labs, netobs, run, takes_too_long};
use super::tracer::{PATIENCE, Tracer, at_most, command, wait};

/// Fails the test unless there is one line, that a person would want to read.
#[track_caller]
fn one_clear_line(lines: &[String], part: &str) {
    let [line] = lines else { panic!("not one line: {lines:#?}") };
    assert!(line.starts_with("netobs: ") && line.contains(part), "{part}: {line}");
    for word in ["panicked", "RUST_BACKTRACE", "unwrap", "Os {"] {
        assert!(!line.contains(word), "{line}");
    }
    assert!(line.len() < 600, "{} bytes are no clear line: {line}", line.len());
}

#[track_caller]
fn refused(answer: &Answer, statuses: &[i32], part: &str) {
    assert!(statuses.contains(&answer.status), "{answer:#?}");
    assert_eq!(answer.stdout, "", "standard output is for records");
    one_clear_line(&answer.stderr.lines().map(str::to_owned).collect::<Vec<_>>(), part);
}

#[test]
fn not_root() {
    if !can_make_labs("not_root", &[]) {
        return;
    }
    refused(&as_nobody(&["trace", "icmp"]), &[3], "root");
}

#[test]
fn arguments_that_make_no_sense() {
    let test = "arguments_that_make_no_sense";
    if takes_too_long(test) || !can_make_labs(test, &[]) {
        return;
    }
    let long = vec!["host 10.40.0.3"; 10 * 1024 / 17 + 1].join(" nor ");
    let cases = [
        (&["trace", "--netns", "no-such-netns", "icmp"][..], &[1, 2][..], "no-such-netns"),
        (&["trace", "icmp and and"], &[2], "icmp and and"),
        (&["trace", "host no-such-host.invalid"], &[2], "no-such-host.invalid"),
        (&["trace", &long], &[2], "filter"),
        (&["trace", "icmp", "--", "no-such-command", "x"], &[1], "no-such-command"),
        (&["trace", "icmp", "--", "/"], &[1], "/"),
    ];
    for (arguments, statuses, part) in cases {
        refused(&run(netobs(), arguments), statuses, part);
    }
}

/// Long but right: either it works, or it is refused as the others are.
#[test]
fn a_filter_of_ten_thousand_bytes() {
    if !can_make_labs("a_filter_of_ten_thousand_bytes", &["true"]) {
        return;
    }
    let long = (0..10_240 / 19).map(|n| format!("host 10.{}.{}.{}", 100 + n % 100, n % 200, 10 + n % 90));
    let long = long.collect::<Vec<_>>().join(" or ");
    assert!(long.len() > 10_000, "{}", long.len());
    let began = Instant::now();
    let answer = run(netobs(), &["trace", "--format", "json", &long, "--", "true"]);
    if answer.status != 0 {
        refused(&answer, &[2], "filter");
    }
    assert!(began.elapsed() < at_most(Duration::from_secs(15)), "{:?}", began.elapsed());
}

#[test]
fn standard_output_that_is_closed() {
    if takes_too_long("standard_output_that_is_closed")
        || !can_make_labs("standard_output_that_is_closed", &["ip", "ping"])
    {
        return;
    }
    let lab = Lab::up();
    let ping = || {
        let c1 = lab.netns("c1");
        let arguments = ["netns", "exec", &c1, "ping", "-i0.1", "10.40.0.3"];
        Command::new("ip").args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
    };
    for format in ["json", "text"] {
        let mut tracer = Command::new(netobs());
        tracer.args(["trace", "--format", format, "icmp"]).stdin(Stdio::null());
        let mut tracer = tracer.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(tracer.stdout.take().unwrap());
        let errors = BufReader::new(tracer.stderr.take().unwrap());
        let errors = std::thread::spawn(|| errors.lines().map_while(Result::ok).collect::<Vec<_>>());
        let mut ping = ping();
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        drop(out);
        let began = Instant::now();
        let status = wait(&mut tracer);
        let took = began.elapsed();
        let _ = ping.kill();
        let _ = ping.wait();
        assert!(!first.is_empty(), "{format}");
        assert!(took < at_most(Duration::from_secs(2)), "{format}: {took:?}");
        assert_eq!(status.code(), Some(1), "{format}");
        let said: Vec<_> = errors.join().unwrap().into_iter().filter(|line| !line.starts_with("tracing: ")).collect();
        one_clear_line(&said, "standard output");
    }
}

/// Nobody reads: a signal must end it all the same.
#[test]
fn standard_output_that_nobody_reads() {
    if takes_too_long("standard_output_that_nobody_reads")
        || !can_make_labs("standard_output_that_nobody_reads", &["ip", "ping"])
    {
        return;
    }
    let lab = Lab::up();
    let mut tracer = command(&["icmp", "--"]);
    let c1 = lab.netns("c1");
    // Flooding ping: 64 KiB of records are in the pipe in no time.
    tracer.args(["ip", "netns", "exec", &c1, "ping", "-f", "-w1000", "10.40.0.3"]).stdin(Stdio::null());
    let mut tracer = tracer.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(at_most(Duration::from_secs(1)).min(PATIENCE / 4));
    let pid = nix::unistd::Pid::from_raw(tracer.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let began = Instant::now();
    wait(&mut tracer);
    assert!(began.elapsed() < at_most(Duration::from_secs(2)), "{:?}", began.elapsed());
}

#[test]
fn an_empty_filter_is_every_packet() {
    if takes_too_long("an_empty_filter_is_every_packet")
        || !can_make_labs("an_empty_filter_is_every_packet", &["ip", "ping"])
    {
        return;
    }
    let lab = Lab::up();
    let ping = ["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "10.40.0.3"];
    let traced = Tracer::start(command(&["--"]).args(ping)).finish();
    let icmp = traced.of(&lab).into_iter().filter(|packet| packet.proto == "icmp").count();
    assert_eq!(icmp, 2);
}
