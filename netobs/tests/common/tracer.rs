//! `netobs trace` under test: started, watched, ended, and its JSON read.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::common::netobs;
pub use super::common::{PATIENCE, is_slow};
use super::records::Traced;

/// The time something may take here that takes `native` on hardware.
pub fn at_most(native: Duration) -> Duration {
    if is_slow() { native * 20 } else { native }
}

/// A trace under way; it is killed when this is dropped.
pub struct Tracer {
    child: Child,
    out: Option<JoinHandle<Vec<String>>>,
    errors: Receiver<String>,
    said: Vec<String>,
}

impl Tracer {
    /// `netobs trace --format json …`, attached.
    pub fn attached(arguments: &[&str]) -> Self {
        Self::attached_by(&mut command(arguments))
    }

    /// Starts that command and waits until it says that it traces.
    pub fn attached_by(command: &mut Command) -> Self {
        let mut tracer = Self::start(command);
        tracer.hear("tracing:");
        tracer
    }

    /// Starts that command, whatever comes of it.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let out = thread::spawn(|| BufReader::new(out).lines().map_while(Result::ok).collect());
        let (send, errors) = channel();
        thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Self { child, out: Some(out), errors, said: Vec::new() }
    }

    /// Waits for a line on standard error that begins so.
    #[track_caller]
    pub fn hear(&mut self, beginning: &str) {
        while !self.said.last().is_some_and(|line| line.starts_with(beginning)) {
            match self.errors.recv_timeout(PATIENCE) {
                Ok(line) => self.said.push(line),
                Err(error) => panic!("no `{beginning}…`: {error}; it said {:#?}", self.said),
            }
        }
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    /// Lets the last packets come in, ends it by SIGINT, and reads what it printed.
    #[track_caller]
    pub fn interrupt(self) -> Traced {
        // A packet of which nothing more is heard is over after 300 ms. What is told of the first takes a slow machine
        // a while to find out.
        thread::sleep(Duration::from_millis(if is_slow() { 1500 } else { 500 }));
        self.signal(Signal::SIGINT);
        self.finish()
    }

    /// Waits until it has ended well, and reads what it printed.
    #[track_caller]
    pub fn finish(mut self) -> Traced {
        let status = self.wait();
        let lines = self.out.take().unwrap().join().unwrap();
        let stderr = self.stderr();
        assert_eq!(status.code(), Some(0), "{stderr:#?}");
        Traced::read(&lines)
    }

    /// Every line it said on standard error. It has ended.
    pub fn stderr(&mut self) -> Vec<String> {
        loop {
            match self.errors.recv_timeout(PATIENCE) {
                Ok(line) => self.said.push(line),
                // COMMAND may have left something running that holds standard error.
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return self.said.clone(),
            }
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `netobs trace --format json …`, not yet started.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(netobs());
    command.args(["trace", "--format", "json"]).args(arguments);
    command
}

/// Traces COMMAND from its start to its end.
#[track_caller]
pub fn trace(filter: &str, traced: &[&str]) -> Traced {
    Tracer::start(command(&[filter, "--"]).args(traced)).finish()
}

/// Waits until a process has ended; one that does not is killed, and the test fails.
#[track_caller]
pub fn wait(child: &mut Child) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            let mut said = String::new();
            let _ = child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut said));
            panic!("still running after {} s: {said}", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(2));
    }
}
