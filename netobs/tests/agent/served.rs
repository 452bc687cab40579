//! An agent under test, and what a scrape of it says.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use netobs::netns::{Netns, in_netns};
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

/// An agent that somebody else has started, and where it can be reached from.
pub struct Remote<'a> {
    pub netns: &'a str,
    pub address: SocketAddr,
}

impl Remote<'_> {
    pub fn get(&self, path: &str) -> std::io::Result<Page> {
        let netns = Netns::open(self.netns).unwrap();
        let mut stream = in_netns(&netns, || TcpStream::connect(self.address)).unwrap()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Page::get(&mut stream, path, "")
    }

    /// Scrapes until it says what is wanted.
    #[track_caller]
    pub fn scrape_until(&self, wanted: impl Fn(&Scrape) -> bool) -> Scrape {
        let end = Instant::now() + PATIENCE;
        loop {
            let scrape = Scrape::of(self.get("/metrics").unwrap().body);
            if wanted(&scrape) {
                return scrape;
            }
            assert!(Instant::now() < end, "{}", scrape.text);
            thread::sleep(Duration::from_millis(100));
        }
    }
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
        Self::ready_by(&mut Self::command(arguments))
    }

    /// `netobs agent`, on a port of its own.
    pub fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(netobs());
        command.args(["agent", "--listen", "127.0.0.1:0"]).args(arguments);
        command
    }

    /// Starts that command and waits until it is attached.
    #[track_caller]
    pub fn ready_by(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let err = child.stderr.take().unwrap();
        let (send, errors) = channel();
        thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let mut agent = Self { address: String::new(), child, errors };
        let first = agent.hear();
        let (_, rest) = first.strip_prefix("serving: ").and_then(|rest| rest.split_once("://")).expect(&first);
        agent.address = rest.split('/').next().unwrap().to_owned();
        agent
    }

    /// The next line on standard error.
    #[track_caller]
    pub fn hear(&self) -> String {
        self.errors.recv_timeout(PATIENCE).unwrap()
    }

    /// Waits until it has nothing to say for a moment.
    #[track_caller]
    pub fn is_silent(&self) {
        let heard = self.errors.recv_timeout(Duration::from_millis(100));
        assert!(heard.is_err(), "{heard:?}");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Page {
        self.get_with(path, "")
    }

    /// As [`Self::get`], with more lines in the request's head.
    #[track_caller]
    pub fn get_with(&self, path: &str, lines: &str) -> Page {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Page::get(&mut stream, path, lines).unwrap()
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
        self.objects("prog_id")
    }

    /// Ids of the eBPF objects it holds: `prog_id`, `map_id`, `link_id`.
    pub fn objects(&self, kind: &str) -> HashSet<u32> {
        let folder = format!("/proc/{}/fdinfo", self.pid());
        let texts = std::fs::read_dir(folder).unwrap().flatten();
        let texts = texts.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default());
        let id = |line: &str| line.strip_prefix(kind)?.strip_prefix(':')?.trim().parse().ok();
        texts.flat_map(|text| text.lines().filter_map(id).collect::<Vec<_>>()).collect()
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

impl Page {
    /// Asks over any connection, which ends with the answer.
    pub fn get(stream: &mut (impl Read + Write), path: &str, lines: &str) -> std::io::Result<Self> {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok(Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
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

    /// The series of a metric.
    pub fn metric(&self, metric: &str) -> Vec<(&str, f64)> {
        let start = format!("{metric}{{");
        let all = self.values.iter().filter(|(series, _)| series.starts_with(&start));
        all.map(|(series, value)| (series.as_str(), *value)).collect()
    }

    /// Metrics that have a series.
    pub fn metrics(&self) -> HashSet<&str> {
        self.values.keys().map(|series| series.split('{').next().unwrap()).collect()
    }
}
