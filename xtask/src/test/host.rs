//! The stages that run on this machine itself.

use std::env;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::again::{again, exactly};
use super::executables::Executable;
use super::libtest::{self, Tally};
use super::report::Row;
use crate::command::{CommandExt, cargo};
use crate::project::Project;
use crate::setup::prometheus::Prometheus;

/// How long the tests of one executable may take.
const TIMEOUT: Duration = Duration::from_secs(900);

/// How often a running executable is looked at.
const POLL: Duration = Duration::from_millis(20);

/// `cargo fmt --check`
pub fn format(project: &Project) -> Row {
    check("format", cargo().args(["fmt", "--all", "--check"]).current_dir(project.root()))
}

/// `cargo clippy`, where a warning is an error.
pub fn lints(project: &Project) -> Row {
    let arguments = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-Dwarnings"];
    check("lints", cargo().args(arguments).current_dir(project.root()))
}

fn check(stage: &str, command: &mut Command) -> Row {
    let started = Instant::now();
    let (tally, output) = match command.quietly() {
        Ok(()) => (Tally::passed(), String::new()),
        Err(error) => (Tally::failed(), format!("{error:#}")),
    };
    Row { kernel: kernel(), stage: stage.to_owned(), tally, time: started.elapsed(), output }
}

/// The examples in the documentation.
pub fn doc_tests(project: &Project, filter: Option<&str>) -> Row {
    let mut command = cargo();
    command.args(["test", "--workspace", "--doc", "--quiet", "--", "--format=pretty"]).args(filter);
    tests("documentation", project.root(), &mut command)
}

/// The tests inside a library or binary, as many at once as the harness likes.
pub fn unit_tests(executable: &Executable, filter: Option<&str>) -> Row {
    let stage = format!("unit {}", executable.name);
    tests(&stage, &executable.directory, Command::new(&executable.path).args(filter))
}

/// Tests that trace the whole machine would see each other's packets, so they run one at a time. What setup unpacked for
/// them is in their PATH.
pub fn integration_tests(project: &Project, executable: &Executable, netobs: &Path, filter: Option<&str>) -> Row {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":");
    path.push(Prometheus::new(project).directory());
    let stage = format!("tests {}", executable.name);
    let run = |which: &[&str]| {
        let mut command = Command::new(&executable.path);
        command.arg("--test-threads=1").args(which).env("NETOBS_BIN", netobs).env("PATH", &path);
        tests(&stage, &executable.directory, &mut command)
    };
    again(run(filter.as_slice()), |names| run(&exactly(names)))
}

fn tests(stage: &str, directory: &Path, command: &mut Command) -> Row {
    let started = Instant::now();
    let (tally, output) = match captured(command.current_dir(directory)) {
        Ok((stdout, stderr, note)) => (libtest::parse(&stdout, &stderr), format!("{stdout}{stderr}\n{note}")),
        Err(error) => (Tally::failed(), format!("{error:#}")),
    };
    Row { kernel: kernel(), stage: stage.to_owned(), tally, time: started.elapsed(), output }
}

/// Runs the command and returns its two streams, and how it ended.
///
/// The streams go to files: what a test leaves running may hold them open, and that must not keep this waiting.
fn captured(command: &mut Command) -> Result<(String, String, String)> {
    let (mut stdout, mut stderr) = (temporary()?, temporary()?);
    let streams = (stdout.try_clone()?, stderr.try_clone()?);
    command.stdin(Stdio::null()).stdout(streams.0).stderr(streams.1).process_group(0);
    let mut child = command.spawn().context("cannot start the tests")?;
    let deadline = Instant::now() + TIMEOUT;
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for the tests")? {
            break status.to_string();
        }
        if Instant::now() >= deadline {
            killpg(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGKILL).context("cannot kill the tests")?;
            child.wait().context("cannot wait for the tests")?;
            break format!("killed, since it did not end within {} s", TIMEOUT.as_secs());
        }
        thread::sleep(POLL);
    };
    Ok((contents(&mut stdout)?, contents(&mut stderr)?, status))
}

fn temporary() -> Result<File> {
    tempfile::tempfile().context("cannot create a temporary file")
}

fn contents(file: &mut File) -> Result<String> {
    use std::io::{Read, Seek};
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The running kernel's release, without what its vendor appended.
fn kernel() -> String {
    let release =
        nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default();
    release.split('-').next().unwrap_or_default().to_owned()
}
