//! Setup, build, test, demo, emulated machines and benchmarks.

mod bench;
mod build;
mod command;
mod demo;
mod project;
mod setup;
mod test;
mod vm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::build::Progress;
use crate::project::Project;
use crate::setup::Need;

/// Everything that is done to netobs, as opposed to with it.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// See it work: build a lab, follow packets, break it in three ways, count what dies, remove everything
    Demo,
    /// Install what is missing for all other commands; afterwards they work offline
    Setup,
    /// Build target/<profile>/netobs, the eBPF object inside
    Build(build::Arguments),
    /// Check format and lints, and run all tests, here and on the other kernels
    Test(test::Arguments),
    /// Measure, and print figures beside their aims
    Bench(bench::Arguments),
    /// Run a command in an emulated machine with another kernel, netobs on its PATH
    Vm(vm::Arguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let project = Project::find()?;
    match command {
        Command::Setup => {
            let installed = setup::run(&project, Need::Machines)?;
            if !installed {
                println!("setup: nothing needs installing");
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Build(arguments) => {
            setup::run(&project, Need::Build)?;
            let binary = build::run(&project, arguments.profile(), Progress::Shown)?;
            println!("{}", binary.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo => demo::run(&project),
        Command::Test(arguments) => test::run(&project, &arguments),
        Command::Bench(arguments) => {
            bench::run(&project, &arguments)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Vm(arguments) => vm::run(&project, &arguments),
    }
}
