//! `netobs diagnose`

use std::net::IpAddr;
use std::process::ExitCode;
use std::thread;

use anyhow::Context;
use clap::Args;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::geteuid;

use super::print::print;
use crate::diagnose::endpoint::{EndpointError, Resolution, address_of, find, find_beside, resolve};
use crate::diagnose::{Diagnosis, Endpoint, Protocol, Question, Target, Watcher, Whom, diagnose};
use crate::output::diagnosis::{DiagnosisRecord, diagnosis_text};
use crate::output::{Format, Style, printable};
use crate::refusal::Refusal;
use crate::state::Namespaces;

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
    let from = find(&arguments.from).map_err(|error| refused(error, "--from"))?;
    let question = asked(from, &target, protocol)?;
    // It attaches while the machine is looked at.
    let mut watcher = Watcher::start(&[question.to]);
    let told = &mut |waiting: &str| eprintln!("netobs: {}", printable(waiting));
    let diagnosis = diagnose(&mut Namespaces::new(), Some(&mut watcher), &question, told);
    tell(&diagnosis, arguments.format)?;
    Ok(if diagnosis.healthy { ExitCode::SUCCESS } else { ExitCode::from(FAULT) })
}

fn tell(diagnosis: &Diagnosis, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => print(&(serde_json::to_string(&DiagnosisRecord::of(diagnosis))? + "\n")),
        Format::Text => print(&diagnosis_text(diagnosis, Style::of_stdout())),
    }
}

/// The question in addresses. Where a name cannot be looked up for want of an answer, whether the name server can be
/// reached is the question.
fn asked(from: Endpoint, target: &Target, protocol: Protocol) -> anyhow::Result<Question> {
    let name = match &target.whom {
        Whom::Address(to) => return Ok(Question { from, to: *to, port: target.port, protocol }),
        Whom::Name(name) => name,
    };
    if let Some(to) = known(name, &from)? {
        return Ok(Question { from, to, port: target.port, protocol });
    }
    let whose = &from.name;
    match resolve(&from, name)? {
        Resolution::Address(to) => Ok(Question { from, to, port: target.port, protocol }),
        Resolution::NoSuchName(server) => {
            Err(Refusal::Usage(format!("--to: {server}, the name server of {whose}, knows no `{name}`")).into())
        }
        Resolution::Refused(server) => {
            anyhow::bail!("--to: {server}, the name server of {whose}, answers, but could not look up `{name}`")
        }
        Resolution::Nobody(why) => anyhow::bail!("--to: `{name}` cannot be looked up: {why}"),
        Resolution::NoAnswer(server) => {
            let told =
                format!("{whose} cannot look up `{name}`: {server}, its name server, does not answer; asking why");
            eprintln!("netobs: {}", printable(&told));
            Ok(Question { from, to: server, port: Some(53), protocol: Protocol::Udp })
        }
    }
}

/// The address of an endpoint of this name.
fn known(name: &str, from: &Endpoint) -> anyhow::Result<Option<IpAddr>> {
    match find_beside(name, from) {
        Ok(to) => {
            let address = address_of(&to, from).map_err(|error| refused(error, "--to"))?;
            address.map(Some).with_context(|| format!("--to: {name} has no address"))
        }
        Err(EndpointError::Unknown { .. }) => Ok(None),
        Err(error) => Err(refused(error, "--to")),
    }
}

/// What a name is worth is said on one line, with what would do.
fn refused(error: EndpointError, option: &str) -> anyhow::Error {
    match error {
        EndpointError::Unknown { .. } | EndpointError::Ambiguous { .. } => {
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
