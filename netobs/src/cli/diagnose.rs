//! `netobs diagnose`

use std::process::ExitCode;
use std::thread;

use anyhow::Context;
use clap::Args;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::geteuid;

use super::print::print;
use crate::diagnose::endpoint::{AskError, Asked, EndpointError, find};
use crate::diagnose::machine::Machine;
use crate::diagnose::{Diagnosis, Protocol, Target, Watcher, diagnose};
use crate::output::diagnosis::{DiagnosisRecord, diagnosis_text};
use crate::output::{Format, Style, printable};
use crate::refusal::Refusal;

/// A fault was found.
const FAULT: u8 = 4;

/// Says whether a packet gets there and its answer back, and if not, where it ends, why, and what mends it.
///
/// Sends the packet that is asked about, and nothing else; changes nothing.
#[derive(Args)]
pub(super) struct DiagnoseArguments {
    /// Who sends: a lab's node, a container, a namespace's name, pid:N, or host.
    #[arg(long, value_name = "ENDPOINT")]
    from: String,
    /// To whom: an address, or a name, with :PORT for TCP and UDP.
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    to: String,
    /// By which protocol: TCP to a port and ICMP to none, if nothing is said.
    #[arg(long, value_enum)]
    proto: Option<Protocol>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Asks, and says what was found out.
pub(super) fn run(arguments: DiagnoseArguments) -> anyhow::Result<ExitCode> {
    let usage = |error: &dyn std::error::Error| Refusal::Usage(error.to_string());
    let target: Target = arguments.to.parse().map_err(|error| usage(&error))?;
    let protocol = target.protocol(arguments.proto).map_err(|error| usage(&error))?;
    if !geteuid().is_root() {
        return Err(Refusal::NotPermitted("looking into network namespaces takes root; try sudo".to_owned()).into());
    }
    end_when_told()?;
    let from = find(&arguments.from).map_err(|error| refused("--from", error.into()))?;
    let Asked { question, instead } = Asked::new(from, &target, protocol).map_err(|error| refused("--to", error))?;
    if let Some(instead) = instead {
        eprintln!("netobs: {}", printable(&instead));
    }
    // It attaches while the machine is looked at.
    let mut watcher = Watcher::start(&[question.to]);
    let told = &mut |waiting: &str| eprintln!("netobs: {}", printable(waiting));
    let diagnosis = diagnose(&mut Machine::new(), Some(&mut watcher), &question, told).with_containers();
    tell(&diagnosis, arguments.format)?;
    Ok(if diagnosis.healthy { ExitCode::SUCCESS } else { ExitCode::from(FAULT) })
}

fn tell(diagnosis: &Diagnosis, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => print(&(serde_json::to_string(&DiagnosisRecord::of(diagnosis))? + "\n")),
        Format::Text => print(&diagnosis_text(diagnosis, Style::of_stdout())),
    }
}

/// What is wrong with the question itself is said on one line, with what would do.
fn refused(option: &str, error: AskError) -> anyhow::Error {
    match error {
        AskError::NoSuchName { .. }
        | AskError::Endpoint(EndpointError::Unknown { .. } | EndpointError::Ambiguous { .. }) => {
            Refusal::Usage(format!("{option}: {error}")).into()
        }
        other => anyhow::Error::new(other).context(option.to_owned()),
    }
}

/// Ctrl-C and requests to end do so at once: whatever is attached goes with us, and nothing else was changed.
fn end_when_told() -> anyhow::Result<()> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    signals.thread_block().context("wait for signals")?;
    let wait = move || {
        if signals.wait().is_ok() {
            eprintln!("netobs: stopped before there was an answer");
            std::process::exit(1);
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).context("wait for signals")?;
    Ok(())
}
