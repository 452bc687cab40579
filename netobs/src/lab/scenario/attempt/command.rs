//! A command in a node, run as a user would run it: `netobs lab exec`.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::super::super::{Error, Result, interrupt};
use super::super::check::Outcome;
use super::super::stage::Stage;
use super::Found;

/// A step's command that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(60);
/// What is kept of a command's complaints.
const KEPT: u64 = 4096;
const BEAT: Duration = Duration::from_millis(2);

/// How a command ended.
struct Ended {
    /// As a shell has it: 128 and the number of a signal; `None`: not in time.
    status: Option<i32>,
    /// The last line on its standard error.
    complaint: String,
}

/// Runs a step's command: it must end well.
pub(in super::super) fn run(stage: &Stage, node: &str, words: &[String]) -> Result<()> {
    let failed =
        |message: String| Error::Io { what: format!("{node}: {}", words.join(" ")), source: io::Error::other(message) };
    let ended = in_node(stage, node, words, LONGEST).map_err(|error| failed(error.to_string()))?;
    match ended.status {
        Some(0) => Ok(()),
        Some(status) => Err(failed(format!("status {status}: {}", ended.complaint))),
        None => Err(failed(format!("not done after {} s", LONGEST.as_secs()))),
    }
}

/// Tries a check's command.
pub(super) fn attempt(stage: &Stage, node: &str, words: &[String], silence: Duration) -> Result<Found> {
    let start = Instant::now();
    // Starting it takes far longer than a packet.
    let ended = in_node(stage, node, words, silence.max(Duration::from_secs(5)));
    let took = start.elapsed();
    let ended = ended.map_err(|source| Error::Command {
        command: words.join(" "),
        namespace: stage.lab.namespace(node),
        source,
    })?;
    let detail = Some(ended.complaint).filter(|complaint| !complaint.is_empty());
    let outcome = match ended.status {
        Some(0) => Outcome::Answered,
        Some(status) if status > 128 => Outcome::Killed,
        Some(_) => Outcome::Failed,
        None => Outcome::Silence,
    };
    interrupt::check()?;
    Ok(Found { outcome, took, detail })
}

fn in_node(stage: &Stage, node: &str, words: &[String], at_most: Duration) -> io::Result<Ended> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["lab", "exec", "--name", stage.lab.as_str(), node, "--"]).args(words);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let stderr = child.stderr.take();
    let listener = thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = stderr.by_ref().take(KEPT).read_to_end(&mut text);
            // It must not block on a full pipe.
            let _ = io::copy(&mut stderr, &mut io::sink());
        }
        String::from_utf8_lossy(&text).lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
    });
    let status = wait(&mut child, at_most)?;
    // What it left running may hold the pipe for ever.
    let complaint =
        if status.is_some() && !outlives(&listener) { listener.join().unwrap_or_default() } else { String::new() };
    Ok(Ended { status, complaint })
}

fn outlives<T>(listener: &thread::JoinHandle<T>) -> bool {
    let start = Instant::now();
    while !listener.is_finished() && start.elapsed() < Duration::from_millis(500) {
        thread::sleep(BEAT);
    }
    !listener.is_finished()
}

fn wait(child: &mut Child, at_most: Duration) -> io::Result<Option<i32>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if start.elapsed() > at_most || interrupt::check().is_err() {
            // `lab exec` passes it on.
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(child.id().cast_signed()),
                nix::sys::signal::Signal::SIGTERM,
            );
            thread::sleep(Duration::from_millis(100));
            let _ = child.kill();
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(BEAT);
    }
}
