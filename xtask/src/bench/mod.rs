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
mod trace;
mod watcher;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::project::Project;

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
