//! `netobs drops` under test: started, ended, and its JSON read.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use serde_json::Value;

use super::common::netobs;
use super::tracer::{PATIENCE, wait};

#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    pub reason: Option<String>,
    pub function: Option<String>,
    pub netns: Option<String>,
    pub netns_inode: Option<u32>,
    pub device: Option<String>,
    pub proto: Option<String>,
    pub count: u64,
    pub new: u64,
    pub explanation: String,
}

impl Row {
    pub fn is(&self, reason: &str, netns: &str, proto: &str) -> bool {
        let same = |field: &Option<String>, value| field.as_deref() == Some(value);
        same(&self.reason, reason) && same(&self.netns, netns) && same(&self.proto, proto)
    }
}

#[derive(Debug, Deserialize)]
pub struct Summary {
    pub drops: u64,
    pub rows: u64,
    pub lost: Lost,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Lost {
    pub overflow: u64,
    pub missed: u64,
}

/// Everything one run printed.
#[derive(Debug)]
pub struct Counted {
    /// Each row as it was printed last: its total.
    pub rows: Vec<Row>,
    pub summary: Summary,
    /// The records as they were printed.
    pub raw: Vec<Value>,
}

impl Counted {
    /// The total of the rows that are wanted.
    pub fn total(&self, wanted: impl Fn(&Row) -> bool) -> u64 {
        self.rows.iter().filter(|row| wanted(row)).map(|row| row.count).sum()
    }

    /// Fails the test if a drop was not counted.
    #[track_caller]
    pub fn nothing_lost(&self) {
        assert_eq!(self.summary.lost, Lost { overflow: 0, missed: 0 }, "{:#?}", self.summary);
    }

    #[track_caller]
    fn read(lines: &[String]) -> Self {
        let parse = |line: &String| serde_json::from_str(line).expect(line);
        let mut raw: Vec<Value> = lines.iter().map(parse).collect();
        let summary: Summary = serde_json::from_value(raw.pop().expect("a summary")).unwrap();
        let mut last: HashMap<String, Row> = HashMap::new();
        for record in &raw {
            assert_eq!(record.get("type"), Some(&Value::from("drop")), "{record}");
            let row: Row = serde_json::from_value(record.clone()).unwrap();
            let key =
                format!("{:?}", (&row.reason, &row.function, &row.netns, row.netns_inode, &row.device, &row.proto));
            let before = last.get(&key).map_or(0, |row| row.count);
            assert_eq!(row.count, before + row.new, "a total is the one before and what is new: {row:#?}");
            last.insert(key, row);
        }
        let rows: Vec<_> = last.into_values().collect();
        assert_eq!(summary.drops, rows.iter().map(|row| row.count).sum::<u64>());
        assert_eq!(summary.rows, rows.len() as u64);
        Self { rows, summary, raw }
    }
}

/// Counters at work; killed when this is dropped.
pub struct Counting {
    child: Child,
    out: Option<JoinHandle<Vec<String>>>,
    errors: Receiver<String>,
}

impl Counting {
    /// `netobs drops --format json …`, attached.
    #[track_caller]
    pub fn attached(arguments: &[&str]) -> Self {
        let counting = Self::start(arguments);
        let first = counting.errors.recv_timeout(PATIENCE).unwrap();
        assert!(first.starts_with("counting: "), "{first}");
        counting
    }

    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(netobs())
            .args(["drops", "--format", "json"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let out = thread::spawn(|| BufReader::new(out).lines().map_while(Result::ok).collect());
        let (send, errors) = channel();
        thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Self { child, out: Some(out), errors }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Ends it by SIGINT and reads what it printed.
    #[track_caller]
    pub fn interrupt(self) -> Counted {
        self.signal(Signal::SIGINT);
        self.finish()
    }

    /// Waits until it has ended well and reads what it printed.
    #[track_caller]
    pub fn finish(mut self) -> Counted {
        let status = wait(&mut self.child);
        let lines = self.out.take().unwrap().join().unwrap();
        assert_eq!(status.code(), Some(0), "{:?}", self.errors.try_iter().collect::<Vec<_>>());
        Counted::read(&lines)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
