//! `cargo xtask demo`: what netobs is for, on a network it builds itself.

mod agent;
mod faults;
mod stage;

use std::process::ExitCode;

use anyhow::Result;

use self::agent::Agent;
use self::faults::FAULTS;
use self::stage::Stage;
use crate::build::{self, Profile, Progress};
use crate::project::Project;
use crate::setup::{self, Need};

/// Builds a lab, follows packets through it, breaks it in three ways, counts what that does, and removes everything.
pub fn run(project: &Project) -> Result<ExitCode> {
    setup::run(project, Need::Lab)?;
    let netobs = build::run(project, Profile::Dev, Progress::Shown)?;
    let stage = Stage::build(netobs)?;

    stage.say("A packet from one container to the other, through the bridge:");
    stage.trace("icmp", &["ping", "-c1", "10.40.0.3"])?;

    stage.say("A packet from a container to the \"internet\". The host rewrites its source, and the reply's way back:");
    stage.trace("icmp", &["ping", "-c1", "198.51.100.10"])?;

    for (number, fault) in FAULTS.iter().enumerate() {
        stage.say(&format!("Break {} of {}: {}", number + 1, FAULTS.len(), fault.story));
        fault.play(&stage)?;
    }

    stage.say(
        "For Prometheus, an agent counts what dies in every namespace. The same faults once more, as it shows them:",
    );
    let agent = Agent::start(&stage)?;
    for fault in &FAULTS {
        println!();
        fault.count(&stage, &agent)?;
    }
    agent.end()?;
    println!("\nThe alerts are in dashboards/rules, and what to look at is in dashboards/grafana.");

    stage.say("Everything is removed again:");
    stage.strike()?;
    Ok(ExitCode::SUCCESS)
}
