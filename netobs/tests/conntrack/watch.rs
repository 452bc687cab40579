//! `--watch`

use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::common::{can_make_labs, netobs};
use super::conntrack::{Flow, enter, machine_is_ours};
use super::{Empty, TARGET, flows};

struct Watching(Child, BufReader<ChildStdout>);

impl Watching {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(netobs());
        command.args(["conntrack", "--watch", "--interval", "100ms"]).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self(child, out)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line
    }

    /// Reads on until a record fits.
    #[track_caller]
    fn until(&mut self, mut fits: impl FnMut(&Value) -> bool) -> Value {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            let line = self.line();
            let record: Value = serde_json::from_str(&line).expect(&line);
            if fits(&record) {
                return record;
            }
        }
        panic!("no record fits");
    }

    /// Ends it; returns its exit status and what it said.
    #[track_caller]
    fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        let began = Instant::now();
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
        let rest = std::io::read_to_string(&mut self.1).unwrap();
        let status = self.0.wait().unwrap();
        let most = Duration::from_secs(if machine_is_ours() { 20 } else { 1 });
        assert!(began.elapsed() < most, "{:?}", began.elapsed());
        let said = std::io::read_to_string(self.0.stderr.take().unwrap()).unwrap();
        assert_eq!(said, "", "nothing to complain of; printed since: {rest}");
        (status.code(), rest)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn follows_tables_until_it_is_told_to_stop() {
    if !can_make_labs("follows_tables_until_it_is_told_to_stop", &["ip"]) {
        return;
    }
    let mut watching = Watching::start(&["--format", "json"]);
    watching.line();
    // A namespace made later is seen, its growth too, and then that it is gone: nobody keeps it alive.
    let empty = Empty::new();
    let name = empty.0.clone();
    watching.until(|record| record["netns"] == name && record["entries"] == 0);
    enter(&empty.netns(), Flow::Unanswered, flows(Ipv4Addr::new(10, 7, 0, 1), 300), TARGET);
    // They may come while it looks: then some of them were told before.
    let mut told = 0;
    let grown = watching.until(|record| {
        if record["netns"] != name {
            return false;
        }
        let entries = record["entries"].as_i64().unwrap();
        let grew = record["during"]["entries"].as_i64().unwrap();
        assert_eq!(grew, entries - std::mem::replace(&mut told, entries), "{record:#}");
        entries == 300
    });
    assert!(grown["seconds_until_full"].as_f64().unwrap() > 0.0, "{grown:#}");
    let inode = grown["netns_inode"].as_u64();
    drop(empty);
    // Every round shows the others in the same order: two rounds without it are enough.
    let gone = Instant::now();
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_secs(1) {
        let line = watching.line();
        let record: Value = serde_json::from_str(&line).expect(&line);
        if record["netns_inode"].as_u64() == inode && record["netns"] == name {
            last = Instant::now();
        }
        assert!(gone.elapsed() < Duration::from_secs(60), "still there: {record:#}");
    }
    assert_eq!(watching.end(Signal::SIGINT).0, Some(0));
}

#[test]
fn appends_tables_where_there_is_no_terminal() {
    if !can_make_labs("appends_tables_where_there_is_no_terminal", &["ip"]) {
        return;
    }
    let empty = Empty::new();
    enter(&empty.netns(), Flow::Unanswered, flows(Ipv4Addr::new(10, 7, 0, 1), 5), TARGET);
    let mut watching = Watching::start(&["--netns", &empty.0]);
    let mut headings = 0;
    while headings < 3 {
        let line = watching.line();
        assert!(!line.is_empty() && !line.contains('\x1b'), "{line:?}");
        headings += usize::from(line.starts_with("namespace"));
    }
    assert_eq!(watching.end(Signal::SIGTERM).0, Some(0));
}

#[test]
fn redraws_a_terminal() {
    if !can_make_labs("redraws_a_terminal", &["ip"]) {
        return;
    }
    let empty = Empty::new();
    enter(&empty.netns(), Flow::Unanswered, flows(Ipv4Addr::new(10, 7, 0, 1), 20), TARGET);
    let size = Winsize { ws_row: 6, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(Some(&size), None).unwrap();
    let mut command = Command::new(netobs());
    command.args(["conntrack", "--watch", "--interval", "100ms", "--top", "5", "--netns", &empty.0]);
    command.env_remove("NO_COLOR").stdin(Stdio::null()).stdout(terminal.slave);
    let mut child = command.spawn().unwrap();
    // It holds the other end, which would keep the terminal open.
    drop(command);
    let (mut shown, mut part, mut screen) = (String::new(), [0; 4096], std::fs::File::from(terminal.master));
    while shown.matches("\x1b[H").count() < 3 {
        let length = screen.read(&mut part).unwrap();
        shown.push_str(&String::from_utf8_lossy(&part[..length]));
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(shown.matches("\x1b[2J").count(), 1, "cleared once, then written over: {shown:?}");
    let second = shown.split("\x1b[H").nth(2).unwrap();
    let lines: Vec<&str> = second.lines().collect();
    assert!(lines[0].contains("Ctrl-C ends") && lines[2].contains("namespace"), "{lines:#?}");
    // Five of the rows and what follows the last.
    assert!(lines.len() == 6 && lines[4].contains("more lines"), "no more than fits: {lines:#?}");
}
