//! `cargo xtask setup`: one table of what the other commands need, and the steps that install it.

mod apt;
mod archive;
pub mod compiler;
mod crates;
pub mod kernel;
pub mod linker;
mod packages;
pub mod prometheus;
pub mod qemu;
mod sources;

use std::fs::{self, File};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use nix::fcntl::{Flock, FlockArg};

use self::archive::Archive;
use self::kernel::Series;
use crate::project::Project;

/// What a command needs. Each includes the ones before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Compilers, the BPF linker, and the libraries that are linked in.
    Build,
    /// The machine's network tools, for the lab, the demo and the integration tests.
    Lab,
    /// A container engine and a Prometheus, which the integration tests on this machine run.
    Tests,
    /// The emulator and the other kernels.
    Machines,
}

/// One row of the table.
pub trait Requirement {
    /// What will be installed, in words for the user, or `None` when all of it is there.
    ///
    /// This is asked on every run and has to be quick: no package index is read.
    fn missing(&self) -> Result<Option<String>>;
    /// Installs it. An interrupted installation leaves nothing that `missing` would take for the whole.
    fn install(&self) -> Result<()>;
}

fn table(project: &Project) -> Vec<(Need, Box<dyn Requirement + '_>)> {
    let mut rows: Vec<(Need, Box<dyn Requirement + '_>)> = vec![
        (Need::Build, Box::new(packages::BUILD)),
        (Need::Build, Box::new(compiler::BpfCompiler)),
        (Need::Build, Box::new(linker::BpfLinker::new(project))),
        (Need::Build, Box::new(crates::Crates::new(project))),
        (Need::Lab, Box::new(packages::LAB)),
        (Need::Tests, Box::new(packages::TESTS)),
        (Need::Tests, Box::new(prometheus::Prometheus::new(project))),
        (Need::Machines, Box::new(packages::MACHINES)),
        (Need::Machines, Box::new(qemu::Emulator::new(project))),
    ];
    for series in Series::ALL {
        rows.push((Need::Machines, Box::new(kernel::DebianKernel::new(project, series))));
    }
    rows
}

/// Installs what is missing for `need`, after saying what that is. Returns whether there was anything.
pub fn run(project: &Project, need: Need) -> Result<bool> {
    if missing(project, need)?.is_empty() {
        return Ok(false);
    }
    let _lock = lock(project)?;
    // Another xtask may have installed it while this one waited.
    let missing = missing(project, need)?;
    if missing.is_empty() {
        return Ok(false);
    }
    eprintln!("setup: will install");
    for (_, what) in &missing {
        eprintln!("  {what}");
    }
    for (requirement, what) in missing {
        eprintln!("setup: installing {what}");
        let started = Instant::now();
        requirement.install().with_context(|| format!("setup could not install {what}"))?;
        if let Some(still) = requirement.missing()? {
            return Err(anyhow!("setup installed {what}, and yet it is missing: {still}"));
        }
        eprintln!("setup:   done in {:.0} s", started.elapsed().as_secs_f64());
    }
    Archive::remove(project);
    Ok(true)
}

fn missing(project: &Project, need: Need) -> Result<Vec<(Box<dyn Requirement + '_>, String)>> {
    let mut missing = Vec::new();
    for (_, requirement) in table(project).into_iter().filter(|(needed_by, _)| *needed_by <= need) {
        if let Some(what) = requirement.missing()? {
            missing.push((requirement, what));
        }
    }
    Ok(missing)
}

/// One setup at a time: two would download the same files and fight for dpkg.
fn lock(project: &Project) -> Result<Flock<File>> {
    let path = project.cache("setup.lock");
    fs::create_dir_all(project.cache("")).context("cannot create the cache directory")?;
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| anyhow!("cannot lock {}: {error}", path.display()))
}
