//! `cargo xtask build`: the eBPF object, then the binary that embeds it.

mod ebpf;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Args;

pub use self::ebpf::build as ebpf;
use crate::command::{CommandExt, cargo};
use crate::project::Project;

/// Arguments of `cargo xtask build`.
#[derive(Args)]
pub struct Arguments {
    /// Optimise, into target/release
    #[arg(long)]
    release: bool,
}

impl Arguments {
    /// The profile of the host packages.
    pub const fn profile(&self) -> Profile {
        if self.release { Profile::Release } else { Profile::Dev }
    }
}

/// Cargo's profile for the host packages. The eBPF object is always optimised.
#[derive(Clone, Copy)]
pub enum Profile {
    /// For development and tests.
    Dev,
    /// For use.
    Release,
}

impl Profile {
    const fn argument(self) -> &'static str {
        match self {
            Self::Dev => "--profile=dev",
            Self::Release => "--profile=release",
        }
    }

    const fn directory(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// What cargo prints besides warnings and errors.
#[derive(Clone, Copy)]
pub enum Progress {
    /// What it is compiling.
    Shown,
    /// Nothing, where the output is another program's.
    Hidden,
}

impl Progress {
    const fn argument(self) -> Option<&'static str> {
        match self {
            Self::Shown => None,
            Self::Hidden => Some("--quiet"),
        }
    }
}

/// Builds all of netobs and returns the binary's path.
pub fn run(project: &Project, profile: Profile, progress: Progress) -> Result<PathBuf> {
    ebpf(project, progress)?;
    let mut build = cargo();
    build.args(["build", "--package", "netobs", profile.argument()]).args(progress.argument());
    if let (Profile::Release, Some(revision)) = (profile, revision(project)) {
        // Not while developing: each commit would build everything anew.
        build.env("NETOBS_REVISION", revision);
    }
    build.current_dir(project.root()).run()?;
    Ok(binary(project, profile))
}

/// The revision of the sources, which `netobs agent` tells in its metrics. `None` outside a git repository.
fn revision(project: &Project) -> Option<String> {
    let described = Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(project.root()).capture();
    described.ok().map(|text| text.trim().to_owned())
}

/// Where the binary is once built.
pub fn binary(project: &Project, profile: Profile) -> PathBuf {
    project.target().join(profile.directory()).join("netobs")
}
