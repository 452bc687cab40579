//! Arguments, exit statuses, and nothing else: each subcommand's file wires the library together.

mod agent;
mod check;
mod conntrack;
mod diagnose;
mod drops;
mod duration;
mod ending;
mod lab;
mod print;
mod trace;
mod wanted;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::output::printable;
use crate::refusal::Refusal;

/// Shows every hop of a container's packet through the Linux kernel, and says where and why it died.
#[derive(Parser)]
#[command(name = "netobs", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Trace(trace::TraceArguments),
    Agent(agent::AgentArguments),
    Check(check::CheckArguments),
    Conntrack(conntrack::ConntrackArguments),
    Diagnose(diagnose::DiagnoseArguments),
    Drops(drops::DropsArguments),
    Lab(lab::Arguments),
    /// PID 1 of a lab's node; for `netobs lab up` only.
    #[command(hide = true)]
    LabInit {
        /// What `ps` shows.
        node: String,
    },
}

/// Parses the command line, runs the subcommand and turns its result into the contract's exit status.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap prints --help and --version through the same path, with status 0.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let result: anyhow::Result<ExitCode> = match arguments.command {
        Command::Trace(arguments) => trace::run(arguments),
        Command::Agent(arguments) => agent::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Conntrack(arguments) => conntrack::run(arguments),
        Command::Diagnose(arguments) => diagnose::run(arguments),
        Command::Drops(arguments) => drops::run(arguments),
        Command::Lab(arguments) => lab::run(arguments),
        Command::LabInit { .. } => Ok(crate::lab::init::run()),
    };
    result.unwrap_or_else(|error| {
        eprintln!("netobs: {}", printable(&format!("{error:#}")));
        status_of(&error)
    })
}

fn status_of(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Refusal>() {
        Some(Refusal::Usage(_)) => ExitCode::from(2),
        Some(Refusal::NotPermitted(_)) => ExitCode::from(3),
        None => ExitCode::FAILURE,
    }
}
