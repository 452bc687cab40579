//! A name's address, as the sender itself would find it.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::dns::{self, Kind, Said};
use super::files::read_inside;
use super::names::{ResolvConf, in_hosts};
use super::{Endpoint, EndpointError};
use crate::netns::{Netns, in_netns};
use crate::state::Namespaces;

/// A name server of a machine of its own answers within milliseconds, one of the world within a second.
const PATIENCE: Duration = Duration::from_millis(1500);

/// What became of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It has this address.
    Address(IpAddr),
    /// The server that was asked knows no such name.
    NoSuchName(IpAddr),
    /// The server that was asked answers, but could not or would not look it up.
    Refused(IpAddr),
    /// None of the servers answered; this is the first of them.
    NoAnswer(IpAddr),
    /// There is nobody to ask; why.
    Nobody(String),
}

/// Looks a name up with the endpoint's own `/etc/hosts` and `/etc/resolv.conf`, from its own network namespace.
///
/// # Errors
/// The namespace cannot be entered.
pub fn resolve(from: &Endpoint, name: &str) -> Result<Resolution, EndpointError> {
    let Some(pid) = from.pid else {
        return Ok(Resolution::Nobody(format!("no process lives in {}, so there is no resolver to ask", from.name)));
    };
    if let Some(address) = read_inside(pid, "/etc/hosts").ok().and_then(|hosts| in_hosts(&hosts, name)) {
        return Ok(Resolution::Address(address));
    }
    let conf = match read_inside(pid, "/etc/resolv.conf") {
        Ok(text) => ResolvConf::read(&text),
        Err(error) => return Ok(Resolution::Nobody(format!("/etc/resolv.conf of {}: {error}", from.name))),
    };
    let Some(first) = conf.servers.first().copied() else {
        return Ok(Resolution::Nobody(format!("/etc/resolv.conf of {} names no server", from.name)));
    };
    let netns = Namespaces::new().open(from.netns).ok_or_else(|| EndpointError::Gone(from.name.clone()))?;
    let mut refused = None;
    for server in &conf.servers {
        match ask(&netns, *server, &conf.candidates(name)) {
            Ok(Said::Address(address)) => return Ok(Resolution::Address(address)),
            Ok(Said::Nothing) => return Ok(Resolution::NoSuchName(*server)),
            // The next one may know.
            Ok(Said::Refused) => refused = refused.or(Some(*server)),
            Err(_) => {}
        }
    }
    Ok(refused.map_or(Resolution::NoAnswer(first), Resolution::Refused))
}

/// The first candidate that has an address.
fn ask(netns: &Netns, server: IpAddr, candidates: &[String]) -> io::Result<Said> {
    for name in candidates {
        for kind in [Kind::V4, Kind::V6] {
            let said = in_netns(netns, || dns::ask(server, name, kind, PATIENCE)).map_err(io::Error::other)??;
            if said != Said::Nothing {
                return Ok(said);
            }
        }
    }
    Ok(Said::Nothing)
}
