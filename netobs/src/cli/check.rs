//! `netobs check`

use std::process::ExitCode;

use clap::Args;

use crate::filter::Filter;
use crate::netlink::Socket;
use crate::netns::fresh_netns;
use crate::output::{CapabilitiesRecord, Format, ProbeRecord, Writer};
use crate::probe::tc::Target;
use crate::probe::{Kernel, Selection, Session};
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

/// Attaches every hook for a moment and reports.
pub fn run(arguments: CheckArguments) -> anyhow::Result<ExitCode> {
    let kernel = Kernel::read().map_err(|error| Refusal::NotPermitted(error.to_string()))?;
    let (mut session, _ring) = Session::attach(&kernel, &Filter::compile("")?, &Selection::default())?;
    attach_in_netns(&mut session);
    session.detach();
    let mut blind_spots: Vec<String> = session
        .probes()
        .iter()
        .filter(|probe| probe.why_not.is_some())
        .map(|probe| probe.row.blind_spot.to_owned())
        .collect();
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
