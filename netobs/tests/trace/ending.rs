//! How a trace ends, whoever ends it.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::common::{Lab, can_make_labs, eventually, run, skip, takes_too_long};
use super::tracer::{Tracer, at_most, command};

/// `BPF_PROG_GET_FD_BY_ID` and `BPF_LINK_GET_FD_BY_ID` of enum `bpf_cmd`.
const PROG_BY_ID: i64 = 13;
/// See above.
const LINK_BY_ID: i64 = 30;

/// The numbers of the eBPF programs and links that a process has open.
fn held_by(pid: Pid, field: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        ids.extend(text.lines().find_map(|line| line.strip_prefix(field)?.trim().parse::<u32>().ok()));
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Whether the kernel still has the program or link of that number.
fn exists(kind: i64, id: u32) -> bool {
    // union bpf_attr begins with the id for these commands; the kernel takes what is left out as zero.
    let attributes = [id, 0, 0];
    // SAFETY: the attributes outlive the call and their size is given.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, kind, attributes.as_ptr(), size_of_val(&attributes)) };
    if fd < 0 {
        let error = std::io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{error}");
        return false;
    }
    // SAFETY: the descriptor was just returned to us.
    unsafe { libc::close(fd as i32) };
    true
}

#[test]
fn a_signal_ends_it_within_a_second_with_the_summary() {
    if !can_make_labs("a_signal_ends_it_within_a_second_with_the_summary", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let ended_by = |signal| {
        let tracer = Tracer::attached(&["icmp"]);
        run("ip", &["netns", "exec", &lab.netns("c1"), "ping", "-c1", "10.40.0.3"]).good();
        std::thread::sleep(Duration::from_millis(500));
        let began = Instant::now();
        tracer.signal(signal);
        let traced = tracer.finish();
        let took = began.elapsed();
        assert_eq!(traced.of(&lab).len(), 2, "{signal}");
        traced.nothing_lost();
        took
    };
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // The kernel waits for all processors before it lets go of a program, and a machine may be busy.
        let in_time = |_| ended_by(signal) < at_most(Duration::from_secs(1));
        assert!((0..3).any(in_time), "{signal}: three times over a second");
    }
}

#[test]
fn a_signal_ends_command_too() {
    if takes_too_long("a_signal_ends_command_too") || !can_make_labs("a_signal_ends_command_too", &["sleep"]) {
        return;
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut tracer = Tracer::start(command(&["icmp", "--"]).args(["sh", "-c", "echo pid $$ >&2; exec sleep 1000"]));
        tracer.hear("pid ");
        let began = Instant::now();
        tracer.signal(signal);
        tracer.wait();
        let took = began.elapsed();
        assert!(took < at_most(Duration::from_secs(1)), "{signal}: {took:?}");
        let pid = tracer.stderr().iter().find_map(|line| line.strip_prefix("pid ")?.parse::<i32>().ok()).unwrap();
        let comm = || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        eventually("COMMAND to end", || comm() != "sleep\n");
        assert_eq!(tracer.finish().summary.command_status, None);
    }
}

#[test]
fn the_duration_ends_it() {
    if takes_too_long("the_duration_ends_it") || !can_make_labs("the_duration_ends_it", &[]) {
        return;
    }
    let began = Instant::now();
    Tracer::start(&mut command(&["--duration", "300ms", "icmp"])).finish();
    let took = began.elapsed();
    assert!(took > Duration::from_millis(300), "{took:?}");
    assert!(took < at_most(Duration::from_secs(3)), "{took:?}");
}

#[test]
fn the_count_ends_it() {
    if takes_too_long("the_count_ends_it") || !can_make_labs("the_count_ends_it", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let ping = ["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1000", "-i0.05", "10.40.0.3"];
    let traced = Tracer::start(command(&["--count", "3", "icmp", "--"]).args(ping)).finish();
    assert_eq!(traced.packets.len(), 3);
}

#[test]
fn a_kill_leaves_nothing_in_the_kernel() {
    let test = "a_kill_leaves_nothing_in_the_kernel";
    if !can_make_labs(test, &[]) {
        return;
    }
    let mut tracer = Tracer::attached(&["icmp"]);
    let (programs, links) = (held_by(tracer.pid(), "prog_id:"), held_by(tracer.pid(), "link_id:"));
    if programs.is_empty() {
        return skip(test, "this kernel does not say which programs a process holds");
    }
    assert!(programs.iter().all(|id| exists(PROG_BY_ID, *id)), "{programs:?}");
    tracer.signal(Signal::SIGKILL);
    tracer.wait();
    eventually("programs and links to go", || {
        !programs.iter().any(|id| exists(PROG_BY_ID, *id)) && !links.iter().any(|id| exists(LINK_BY_ID, *id))
    });
    // The same as people see it.
    if let Ok(shown) = Command::new("bpftool").args(["--json", "prog", "show"]).output() {
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON of bpftool");
        let ids = shown.as_array().into_iter().flatten().filter_map(|program| program.get("id")?.as_u64());
        assert!(!ids.into_iter().any(|id| programs.iter().any(|own| u64::from(*own) == id)), "{shown:#}");
    }
}
