//! `cargo xtask vm`: a command in an emulated machine that runs another kernel.

mod base;
mod cpio;
mod files;
pub mod guest;
mod machine;
mod modules;
mod tools;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

pub use self::base::archive as prepare;
pub use self::guest::Guest;
pub use self::machine::{Machine, Outcome};
use crate::build::{self, Profile, Progress};
use crate::project::Project;
use crate::setup::kernel::{DebianKernel, Series};
use crate::setup::{self, Need};

/// The exit status of `cargo xtask vm` when the command did not end in time, as of timeout(1).
const TIMED_OUT: u8 = 124;

/// The exit status when the reader of the output has gone, as of a program that SIGPIPE ended.
const UNREAD: u8 = 128 + 13;

/// Arguments of `cargo xtask vm`.
#[derive(Args)]
pub struct Arguments {
    /// The kernel to run
    #[arg(long)]
    kernel: Series,
    /// End the machine when the command has not ended by then
    #[arg(long, default_value = "10m", value_parser = duration)]
    timeout: Duration,
    /// Put a file of this machine there, by the same path or another; programs bring their libraries
    #[arg(long, value_name = "HOST[:GUEST]", value_parser = shared_file)]
    file: Vec<(PathBuf, PathBuf)>,
    /// The machine's memory in MiB
    #[arg(long, default_value_t = guest::MEMORY)]
    memory: u32,
    /// Take the optimised netobs
    #[arg(long)]
    release: bool,
    /// Take netobs as it was built last, or none
    #[arg(long)]
    no_build: bool,
    /// What to run; its standard input is empty
    #[arg(required = true, last = true)]
    command: Vec<String>,
}

/// Runs the command and passes its output and exit status through.
pub fn run(project: &Project, arguments: &Arguments) -> Result<ExitCode> {
    setup::run(project, Need::Machines)?;
    let profile = if arguments.release { Profile::Release } else { Profile::Dev };
    let netobs = if arguments.no_build {
        build::binary(project, profile)
    } else {
        build::run(project, profile, Progress::Hidden)?
    };
    let kernel = DebianKernel::new(project, arguments.kernel);
    let mut guest = Guest::new(&arguments.command);
    if netobs.exists() {
        guest.program(&netobs, guest::NETOBS)?;
    }
    for (host, path) in &arguments.file {
        guest.program(host, path)?;
    }
    let machine = Machine { kernel: &kernel, memory: arguments.memory, timeout: arguments.timeout };
    let finished = machine.run(project, &guest, Box::new(io::stdout()), Box::new(io::stderr()))?;
    match finished.outcome {
        Outcome::Exited(status) => Ok(ExitCode::from(status)),
        Outcome::TimedOut => {
            show(&finished.console);
            eprintln!("xtask: the command did not end within {} s: machine stopped", arguments.timeout.as_secs());
            Ok(ExitCode::from(TIMED_OUT))
        }
        Outcome::Unread => Ok(ExitCode::from(UNREAD)),
        Outcome::Died => {
            show(&finished.console);
            bail!("the machine ended before the command did")
        }
    }
}

fn show(console: &str) {
    eprintln!("the console's last lines:\n{}", if console.is_empty() { "(none)" } else { console });
}

fn shared_file(text: &str) -> Result<(PathBuf, PathBuf)> {
    let (host, guest) = text.split_once(':').unwrap_or((text, ""));
    let host = PathBuf::from(host).canonicalize().with_context(|| format!("no file {host}"))?;
    let guest = if guest.is_empty() { host.clone() } else { PathBuf::from(guest) };
    if guest.is_absolute() { Ok((host, guest)) } else { Err(anyhow!("{} is not an absolute path", guest.display())) }
}

fn duration(text: &str) -> Result<Duration> {
    let split = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => bail!("`{unit}` is none of s, m, h"),
    };
    Ok(Duration::from_secs(number.parse::<u64>().context("a duration is like 90s, 10m or 1h")?.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [("20s", 20), ("10m", 600), ("1h", 3600), ("7", 7)] {
            assert_eq!(duration(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for text in ["", "s", "5d", "-1s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
