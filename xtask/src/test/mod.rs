//! `cargo xtask test`: every check there is, on the running kernel and on those of the matrix.

mod again;
mod executables;
mod host;
mod libtest;
mod machines;
mod report;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use self::executables::Executables;
use self::report::{Report, Row};
use crate::build::{self, Progress};
use crate::project::Project;
use crate::setup::kernel::Series;
use crate::setup::{self, Need};

/// Arguments of `cargo xtask test`.
#[derive(Args)]
pub struct Arguments {
    /// Leave the emulated machines out
    #[arg(long)]
    quick: bool,
    /// Emulate this kernel only; can be given more than once
    #[arg(long, conflicts_with = "quick")]
    kernel: Vec<Series>,
    /// Begin no emulated machine after so many minutes; what is left then is skipped, and said to be
    #[arg(long, default_value_t = 45, value_parser = clap::value_parser!(u64).range(..=1440))]
    minutes: u64,
    /// Run the tests whose names contain this, and neither format nor lints
    filter: Option<String>,
}

impl Arguments {
    fn kernels(&self) -> &[Series] {
        match (self.quick, self.kernel.as_slice()) {
            (true, _) => &[],
            (false, []) => &Series::ALL,
            (false, kernels) => kernels,
        }
    }
}

/// Runs them all, prints a table, and fails unless nothing failed.
pub fn run(project: &Project, arguments: &Arguments) -> Result<ExitCode> {
    let started = Instant::now();
    setup::run(project, if arguments.quick { Need::Tests } else { Need::Machines })?;
    let mut report = Report::default();
    let end = started + Duration::from_secs(60 * arguments.minutes);
    if let Err(error) = run_stages(project, arguments, end, &mut report) {
        report.add(Row::broken("build", &error));
    }
    report.print(started.elapsed());
    Ok(if report.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// An error means that nothing after it can run; what did is in the report.
fn run_stages(project: &Project, arguments: &Arguments, end: Instant, report: &mut Report) -> Result<()> {
    let filter = arguments.filter.as_deref();
    if filter.is_none() {
        report.add(host::format(project));
    }
    // Lints and tests are of code that embeds the object.
    build::ebpf(project, Progress::Shown)?;
    if filter.is_none() {
        report.add(host::lints(project));
    }
    let executables = Executables::build(project)?;
    for executable in executables.unit.iter().filter(|executable| executable.has_tests(filter)) {
        report.add(host::unit_tests(executable, filter));
    }
    report.add(host::doc_tests(project, filter));
    let integration: Vec<_> =
        executables.integration.iter().filter(|executable| executable.has_tests(filter)).collect();
    for executable in &integration {
        report.add(host::integration_tests(project, executable, &executables.netobs, filter));
    }
    let stages = machines::Stages { executables: &integration, netobs: &executables.netobs, filter };
    machines::run(project, arguments.kernels(), &stages, end, report)
}
