//! An agent under test, and what a scrape of it says.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::common::netobs;
use super::tracer::{PATIENCE, wait};

/// An agent at work; killed when this is dropped.
pub struct Agent {
    child: Child,
    address: String,
    errors: Receiver<String>,
}

/// What an HTTP server answered.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// A scrape, by `name{label="value",…}` without the prefix of all names.
#[derive(Debug)]
pub struct Scrape {
    values: BTreeMap<String, f64>,
    pub text: String,
}

impl Agent {
    /// Attached, on a port of its own.
    #[track_caller]
    pub fn ready(arguments: &[&str]) -> Self {
        let mut child = Command::new(netobs())
            .args(["agent", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let err = child.stderr.take().unwrap();
        let (send, errors) = channel();
        thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let first = errors.recv_timeout(PATIENCE).unwrap();
        let address = first.strip_prefix("serving: http://").and_then(|rest| rest.split_once('/')).expect(&first).0;
        Self { address: address.to_owned(), child, errors }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Page {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Page { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    #[track_caller]
    pub fn scrape(&self) -> Scrape {
        let page = self.get("/metrics");
        assert_eq!(page.status, 200, "{page:#?}");
        Scrape::of(page.body)
    }

    /// Scrapes until it says what is wanted.
    #[track_caller]
    pub fn scrape_until(&self, what: &str, wanted: impl Fn(&Scrape) -> bool) -> Scrape {
        let end = Instant::now() + PATIENCE;
        loop {
            let scrape = self.scrape();
            if wanted(&scrape) {
                return scrape;
            }
            assert!(Instant::now() < end, "{what}: {}", scrape.text);
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ids of the eBPF programs it holds.
    pub fn programs(&self) -> HashSet<u32> {
        let folder = format!("/proc/{}/fdinfo", self.pid());
        let texts = std::fs::read_dir(folder).unwrap().flatten();
        let texts = texts.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default());
        texts
            .flat_map(|text| {
                let ids = text.lines().filter_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok());
                ids.collect::<Vec<_>>()
            })
            .collect()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits until it has ended and returns its exit status, and what it said beside that it serves.
    pub fn end(mut self) -> (Option<i32>, Vec<String>) {
        let status = wait(&mut self.child);
        (status.code(), self.errors.iter().collect())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Scrape {
    #[track_caller]
    fn of(text: String) -> Self {
        let mut values = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').expect(line);
            let series = series.strip_prefix("netobs_").expect(line);
            assert!(values.insert(series.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
        }
        Self { values, text }
    }

    /// The value of a series, written as it is in the text.
    pub fn get(&self, series: &str) -> Option<f64> {
        self.values.get(series).copied()
    }

    /// A counter that is 0 if there is none.
    pub fn count(&self, series: &str) -> u64 {
        self.get(series).unwrap_or(0.0) as u64
    }

    /// The series of a metric that have this label.
    pub fn with(&self, metric: &str, label: &str, value: &str) -> Vec<(&str, f64)> {
        let (start, part) = (format!("{metric}{{"), format!("{label}=\"{value}\""));
        let all = self.values.iter().filter(|(series, _)| series.starts_with(&start) && series.contains(&part));
        all.map(|(series, value)| (series.as_str(), *value)).collect()
    }

    /// Metrics that have a series.
    pub fn metrics(&self) -> HashSet<&str> {
        self.values.keys().map(|series| series.split('{').next().unwrap()).collect()
    }
}
