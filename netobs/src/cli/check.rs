//! `netobs check`

use std::process::ExitCode;

use clap::Args;

use crate::filter::Filter;
use crate::netlink::Socket;
use crate::netns::fresh_netns;
use crate::output::{CapabilitiesRecord, Format, ProbeRecord, Writer};
use crate::probe::tc::Target;
use crate::probe::{Kernel, ProbeStatus, Selection, Session};
use crate::refusal::Refusal;

/// Say what this kernel allows, and what is therefore not seen.
#[derive(Args)]
pub struct CheckArguments {
    /// Text for people, or JSON lines.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Attaches what belongs to a device or a namespace to the loopback and the hooks of one that nobody else is in.
fn attach_in_netns(session: &mut Session) {
    let Ok(netns) = fresh_netns() else { return };
    session.attach_netfilter_in(&netns);
    let Ok(links) = Socket::open_in(&netns).and_then(|mut socket| socket.links()) else { return };
    let links = links.into_iter().filter(|link| link.loopback).collect();
    session.attach_tc(&[Target { netns, name: "a namespace of its own".into(), links }]);
}

/// What is not seen, a sentence for each matter. Several hooks may serve one; where some of them are there, those that
/// are not are named.
fn blind_spots(probes: &[ProbeStatus]) -> Vec<String> {
    let mut matters: Vec<(&str, Vec<&str>)> = Vec::new();
    for (matter, name) in probes.iter().filter_map(|probe| Some((probe.blind_spot()?, probe.row.name))) {
        match matters.iter_mut().find(|(other, _)| *other == matter) {
            Some((_, names)) => names.push(name),
            None => matters.push((matter, vec![name])),
        }
    }
    let is_partial =
        |matter: &str| probes.iter().any(|probe| probe.row.blind_spot == matter && probe.why_not.is_none());
    let tell = |(matter, names): (&str, Vec<&str>)| {
        if is_partial(matter) { format!("{matter}: not {}", names.join(", ")) } else { matter.to_owned() }
    };
    matters.into_iter().map(tell).collect()
}

/// Attaches every hook for a moment and reports.
pub fn run(arguments: CheckArguments) -> anyhow::Result<ExitCode> {
    let kernel = Kernel::read().map_err(|error| Refusal::NotPermitted(error.to_string()))?;
    let (mut session, _ring) = Session::attach(&kernel, &Filter::compile("")?, &Selection::default())?;
    attach_in_netns(&mut session);
    session.detach();
    let mut blind_spots = blind_spots(&session.probes());
    if kernel.conntrack.is_none() {
        blind_spots.push("the conntrack state of packets: connection tracking is not loaded (or has no BTF)".into());
    }
    let record = CapabilitiesRecord {
        kind: "capabilities",
        kernel: kernel.release.clone(),
        probes: session.probes().iter().map(|probe| ProbeRecord::of(probe, &session)).collect(),
        blind_spots,
    };
    let mut writer = Writer::stdout(arguments.format);
    writer.capabilities(&record)?;
    Ok(ExitCode::SUCCESS)
}
