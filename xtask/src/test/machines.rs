//! The integration tests once more, in emulated machines with the other kernels.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::again::{again, exactly};
use super::executables::Executable;
use super::libtest::{self, Tally};
use super::report::{Report, Row};
use crate::project::Project;
use crate::setup::kernel::{DebianKernel, Series};
use crate::vm::{self, Guest, Machine, Outcome};

/// Machines at once. Each has two processors, as has the smallest machine that this has to run on.
const AT_ONCE: usize = 2;

/// How long one machine may run. Emulation is some ten times slower than the processor.
const TIMEOUT: Duration = Duration::from_secs(1200);

/// What a trace shows of each kernel, every fault with its signal, and what labs leave behind.
const FIRST: [&str; 3] = ["trace", "scenario", "lab"];

/// What runs in the machines.
pub struct Stages<'a> {
    /// With tests to run.
    pub executables: &'a [&'a Executable],
    /// The netobs they run.
    pub netobs: &'a Path,
    /// What the names of their tests contain.
    pub filter: Option<&'a str>,
}

/// Runs every executable on every kernel, each in a machine of its own: what one leaves behind or crashes is no other's.
///
/// No machine begins after `end`. Where a processor is so slow, every kernel is to have had those that come [`FIRST`], and
/// the oldest and the newest all others before those between them. Of the others the tests of the packet path come before
/// the rest: the last in the alphabet, as it happens.
pub fn run(
    project: &Project,
    kernels: &[Series],
    stages: &Stages<'_>,
    end: Instant,
    report: &mut Report,
) -> Result<()> {
    let kernels: Vec<DebianKernel<'_>> = kernels.iter().map(|series| DebianKernel::new(project, *series)).collect();
    for kernel in &kernels {
        vm::prepare(project, kernel)?;
    }
    let mut guests = Vec::new();
    for executable in stages.executables.iter().rev() {
        guests.push((*executable, guest(executable, stages.netobs, stages.filter.as_slice())?));
    }
    let last = kernels.len().saturating_sub(1);
    let mut jobs = Vec::new();
    for (executable, guest) in &guests {
        for (place, kernel) in kernels.iter().enumerate() {
            let is_first = FIRST.contains(&executable.name.as_str());
            jobs.push(((!is_first, place != 0 && place != last), (kernel, *executable, guest)));
        }
    }
    jobs.sort_by_key(|(turn, _)| *turn);
    let jobs: VecDeque<_> = jobs.into_iter().map(|(_, job)| job).collect();
    let jobs = Mutex::new(jobs);
    let report = Mutex::new(report);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((kernel, executable, guest)) = job else { return };
                    let row = if Instant::now() < end {
                        again(one(project, kernel, executable, guest), |names| {
                            match self::guest(executable, stages.netobs, &exactly(names)) {
                                Ok(guest) => one(project, kernel, executable, &guest),
                                Err(error) => Row::broken(&executable.name, &error),
                            }
                        })
                    } else {
                        skipped(kernel, executable, stages.filter)
                    };
                    report.lock().unwrap_or_else(PoisonError::into_inner).add(row);
                }
            });
        }
    });
    Ok(())
}

fn guest(executable: &Executable, netobs: &Path, which: &[&str]) -> Result<Guest> {
    let path = format!("/usr/bin/test-{}", executable.name);
    let command: Vec<String> =
        [path.as_str(), "--test-threads=1"].iter().chain(which).map(|word| (*word).to_owned()).collect();
    let mut guest = Guest::new(&command);
    guest.program(netobs, vm::guest::NETOBS)?;
    guest.program(&executable.path, &path)?;
    Ok(guest)
}

/// All its tests, for want of time.
fn skipped(kernel: &DebianKernel<'_>, executable: &Executable, filter: Option<&str>) -> Row {
    let tests = executable.tests(filter).unwrap_or_else(|| vec!["every test".to_owned()]);
    let why = |test| format!("{test}: no time is left on this machine (--minutes gives more)");
    Row {
        kernel: kernel.series().to_string(),
        stage: format!("tests {}", executable.name),
        tally: Tally { skipped: tests.into_iter().map(why).collect(), ..Tally::default() },
        time: Duration::ZERO,
        output: String::new(),
    }
}

fn one(project: &Project, kernel: &DebianKernel<'_>, executable: &Executable, guest: &Guest) -> Row {
    let started = Instant::now();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let machine = Machine { kernel, memory: vm::guest::MEMORY, timeout: TIMEOUT };
    let finished = machine.run(project, guest, Box::new(&mut stdout), Box::new(&mut stderr));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let (mut tally, mut output) = (libtest::parse(&stdout, &stderr), format!("{stdout}{stderr}"));
    match finished {
        Ok(finished) => {
            let note = match finished.outcome {
                Outcome::Exited(_) => None,
                Outcome::TimedOut => Some("the tests did not end in time; the machine's console:"),
                Outcome::Died | Outcome::Unread => Some("the machine ended before the tests did; its console:"),
            };
            if let Some(note) = note {
                tally.failed = tally.failed.max(1);
                output.push_str(&format!("\n{note}\n{}\n", finished.console));
            }
        }
        Err(error) => {
            tally = Tally::failed();
            output = format!("{error:#}");
        }
    }
    Row {
        kernel: kernel.series().to_string(),
        stage: format!("tests {}", executable.name),
        tally,
        time: started.elapsed(),
        output,
    }
}
