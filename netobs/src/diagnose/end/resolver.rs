//! The name servers that an endpoint asks.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::diagnose::endpoint::{ResolvConf, read_inside};
use crate::diagnose::typed::word;
use crate::diagnose::{Culprit, Endpoint, Finding, Force, Rung};

const DNS: u16 = 53;
const FILE: &str = "/etc/resolv.conf";

/// The name servers in an endpoint's `/etc/resolv.conf`, in their order: in the file that its process sees, or, of a
/// namespace without one, in the one that `ip netns exec` would show there.
fn servers(endpoint: &Endpoint) -> io::Result<Vec<IpAddr>> {
    let text = match endpoint.pid {
        Some(pid) => read_inside(pid, FILE)?,
        None => fs::read_to_string(file(endpoint))?,
    };
    Ok(ResolvConf::read(&text).servers)
}

fn file(endpoint: &Endpoint) -> PathBuf {
    let own = PathBuf::from(format!("/etc/netns/{}/resolv.conf", endpoint.name));
    if !endpoint.name.contains('/') && own.exists() { own } else { FILE.into() }
}

/// Whether a packet to this address and port is a question to one of the endpoint's name servers.
pub(super) fn is_asked(endpoint: &Endpoint, address: IpAddr, port: u16) -> bool {
    port == DNS && servers(endpoint).is_ok_and(|servers| servers.contains(&address))
}

/// The finding about a name server at whose address nobody answers.
pub(super) fn silent(endpoint: &Endpoint, server: SocketAddr, why: &str, mut evidence: Vec<String>) -> Finding {
    let name = &endpoint.name;
    evidence.insert(0, format!("{FILE} of {name} says: nameserver {}", server.ip()));
    let others: Vec<_> = servers(endpoint).unwrap_or_default().into_iter().filter(|ip| *ip != server.ip()).collect();
    if let Some(next) = others.first() {
        evidence.push(format!("the next name server there is {next}, asked only after a time-out"));
    }
    let command = match endpoint.pid {
        Some(pid) => format!("nsenter -t {pid} -m sh -c 'echo nameserver SERVER > /etc/resolv.conf'"),
        None => format!("echo nameserver SERVER > {}", word(&file(endpoint).to_string_lossy())),
    };
    Finding {
        cause: "dns-unreachable",
        rung: Rung::Endpoint,
        force: Force::Stops,
        sentence: format!(
            "{name} asks {} for names, as its {FILE} says, but {why}: no name can be looked up there. The packets do \
             arrive; it is the setting that is wrong.",
            server.ip()
        ),
        culprit: Culprit { netns: Some(name.clone()), what: format!("nameserver {} in /etc/resolv.conf", server.ip()) },
        evidence,
        fix: vec![format!("{command}    # SERVER: the address of a name server that answers")],
        hints: vec![
            "`no such host` is often reported as a fault of the network: try an address instead of a name".to_owned(),
        ],
    }
}
