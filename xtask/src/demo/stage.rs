//! The lab the demo plays in. Dropping it removes the lab, whatever went wrong.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// A lab of its own, so that a user's `lab` is left alone.
pub const LAB: &str = "demo";

/// `netobs diagnose` has found a fault.
const FAULT: i32 = 4;

/// What the demo needs to know of a diagnosis.
#[derive(Deserialize)]
struct Diagnosis {
    cause: Option<String>,
}

/// What the demo needs to know of a scenario.
#[derive(Deserialize)]
struct Described {
    name: String,
    metrics: Option<Expected>,
}

/// What metrics show of a fault.
#[derive(Deserialize)]
pub struct Expected {
    /// The node whose series rise.
    pub node: String,
    /// Metrics, with some of their labels.
    pub rises: Vec<String>,
    /// Alerts that fire if it goes on.
    pub alerts: Vec<String>,
}

/// The lab, and the binary that built it.
pub struct Stage {
    netobs: PathBuf,
}

impl Stage {
    /// Builds the lab and shows it.
    pub fn build(netobs: PathBuf) -> Result<Self> {
        let stage = Self { netobs };
        stage.say("A container network: two containers on a bridge, NAT, and an \"internet\" behind it:");
        // A demo that was killed may have left its lab behind.
        stage.command(&["lab", "down", LAB]).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        stage.netobs(&["lab", "up", "--name", LAB])?;
        stage.netobs(&["lab", "graph", "--name", LAB])?;
        Ok(stage)
    }

    /// A heading.
    pub fn say(&self, text: &str) {
        if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            println!("\n\x1b[1;36m### {text}\x1b[0m\n");
        } else {
            println!("\n### {text}\n");
        }
    }

    /// Runs netobs and shows what a person would have typed.
    pub fn netobs(&self, arguments: &[&str]) -> Result<()> {
        self.show(&format!("netobs {}", arguments.join(" ")))?;
        let status = self.command(arguments).status().context("start netobs")?;
        if !status.success() {
            bail!("`netobs {}` ended with {status}", arguments.join(" "));
        }
        Ok(())
    }

    /// Traces what `command`, run in the first container, sends.
    pub fn trace(&self, filter: &str, command: &[&str]) -> Result<()> {
        let mut arguments = vec!["trace", filter, "--", "ip", "netns", "exec", "demo-c1"];
        arguments.extend(command);
        self.netobs(&arguments)
    }

    /// Asks why the first container gets no answer, and holds what netobs says against what is wrong.
    pub fn diagnose(&self, to: &str, cause: &str) -> Result<()> {
        let question = ["diagnose", "--from", "demo-c1", "--to", to];
        println!();
        self.show(&format!("netobs {}", question.join(" ")))?;
        let status = self.command(&question).status().context("start netobs")?;
        let output = self.command(&question).args(["--format", "json"]).output().context("start netobs")?;
        let found: Diagnosis =
            serde_json::from_slice(&output.stdout).context("netobs printed a line that is no JSON")?;
        if status.code() != Some(FAULT) || found.cause.as_deref() != Some(cause) {
            bail!("netobs did not find what is wrong ({cause}) but {:?}; it ended with {status}", found.cause);
        }
        println!();
        Ok(())
    }

    /// What a scenario's file says of metrics and alerts.
    pub fn expected(&self, scenario: &str) -> Result<Expected> {
        let output = self.command(&["lab", "scenarios", "--format", "json"]).output().context("start netobs")?;
        let lines = output.stdout.split(|byte| *byte == b'\n');
        let all = lines.filter_map(|line| serde_json::from_slice::<Described>(line).ok());
        let found = all.into_iter().find(|described| described.name == scenario);
        found.and_then(|described| described.metrics).with_context(|| format!("{scenario} has no metrics"))
    }

    /// Runs a command in the first container that is bound to fail, and shows it without what it prints.
    pub fn in_vain(&self, command: &[&str]) -> Result<()> {
        self.show(&format!("ip netns exec {LAB}-c1 {}   # in vain", command.join(" ")))?;
        let mut process = Command::new("ip");
        process.args(["netns", "exec", &format!("{LAB}-c1")]).args(command);
        let status = process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if status.context("start ip")?.success() {
            bail!("`{}` works, and nothing is broken", command.join(" "));
        }
        Ok(())
    }

    /// Runs a command of the system in the host's namespace and shows it.
    pub fn on_host(&self, command: &[&str]) -> Result<()> {
        self.show(&format!("ip netns exec demo-host {}", command.join(" ")))?;
        let output = Command::new("ip")
            .args(["netns", "exec", "demo-host"])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .context("start ip")?;
        if !output.status.success() {
            bail!("`{}` failed: {}", command.join(" "), String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Ok(())
    }

    /// Removes the lab.
    pub fn strike(self) -> Result<()> {
        self.netobs(&["lab", "down", LAB])
    }

    /// Shows a line as a person would have typed it.
    pub fn show(&self, line: &str) -> Result<()> {
        println!("$ {line}");
        // What follows comes from another process.
        std::io::stdout().flush().context("write to standard output")
    }

    /// A command of netobs that reads nothing.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.netobs);
        command.args(arguments).stdin(Stdio::null());
        command
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let removed = self.command(&["lab", "down", LAB]).stdout(Stdio::null()).status();
        if !removed.is_ok_and(|status| status.success()) {
            eprintln!("xtask: the demo's lab could not be removed; `netobs lab down {LAB}` tries again");
        }
    }
}
