//! `cargo xtask bench`: figures, never a pass or a failure.

mod agent;
mod building;
mod figures;
mod flood;
mod floor;
mod interrupt;
mod lab;
mod programs;
mod report;
mod rounds;
mod trace;
mod watcher;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::build::{self, Profile, Progress};
use crate::project::Project;
use crate::setup::{self, Need};

/// Arguments of `cargo xtask bench`.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Subcommand)]
enum Subject {
    /// What `netobs trace` costs a flood of small packets, beside bare and tcpdump, and how long it takes to come and go
    Trace(trace::Arguments),
    /// What `netobs agent` costs a flood of small packets, beside bare, tcpdump and bpftrace, and what it takes itself
    Agent(agent::Arguments),
    /// How long a lab takes to come and go, beside a shell script that builds the same with ip
    Lab(building::Arguments),
}

/// Measures and prints.
pub fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    match &arguments.subject {
        Subject::Trace(arguments) => trace::run(project, arguments),
        Subject::Agent(arguments) => agent::run(project, arguments),
        Subject::Lab(arguments) => building::run(project, arguments),
    }
}

/// The netobs that is measured: the one that was given, or one that is built now.
fn netobs(project: &Project, given: Option<&Path>, what: &str) -> Result<PathBuf> {
    if !nix::unistd::geteuid().is_root() {
        bail!("a benchmark of `netobs {what}` takes root");
    }
    if let Some(given) = given {
        return given.canonicalize().with_context(|| format!("no file {}", given.display()));
    }
    setup::run(project, Need::Lab)?;
    build::run(project, Profile::Release, Progress::Shown)
}
