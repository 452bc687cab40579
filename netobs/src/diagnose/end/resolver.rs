//! The name servers that an endpoint asks.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::diagnose::{Culprit, Endpoint, Finding, Force, Rung};

const DNS: u16 = 53;

/// The name servers in an endpoint's `/etc/resolv.conf` (resolv.conf(5)), in their order: the file that its process
/// sees, or, of a namespace without one, what `ip netns exec` would show there.
///
/// # Errors
/// The file cannot be read.
pub fn servers(endpoint: &Endpoint) -> io::Result<Vec<IpAddr>> {
    let text = fs::read_to_string(file(endpoint))?;
    Ok(text.lines().filter_map(server).collect())
}

fn server(line: &str) -> Option<IpAddr> {
    let mut words = line.split_whitespace();
    if words.next() != Some("nameserver") {
        return None;
    }
    // A link-local one may have its device behind a `%`.
    words.next()?.split('%').next()?.parse().ok()
}

fn file(endpoint: &Endpoint) -> PathBuf {
    if let Some(pid) = endpoint.pid {
        return format!("/proc/{pid}/root/etc/resolv.conf").into();
    }
    let own = PathBuf::from(format!("/etc/netns/{}/resolv.conf", endpoint.name));
    if !endpoint.name.contains('/') && own.exists() { own } else { "/etc/resolv.conf".into() }
}

/// Whether a packet to this address and port is a question to one of the endpoint's name servers.
pub(super) fn is_asked(endpoint: &Endpoint, address: IpAddr, port: u16) -> bool {
    port == DNS && servers(endpoint).is_ok_and(|servers| servers.contains(&address))
}

/// The finding that a name server is out of reach, from whatever keeps packets from it.
pub fn resolver(endpoint: &Endpoint, server: IpAddr, why: &Finding) -> Finding {
    let first = why.sentence.trim_end_matches('.');
    let mut finding = silent(endpoint, SocketAddr::new(server, DNS), first, why.evidence.clone());
    finding.hints.extend(why.hints.iter().cloned());
    finding
}

/// The same, where nobody answers at its address.
pub(super) fn silent(endpoint: &Endpoint, server: SocketAddr, why: &str, mut evidence: Vec<String>) -> Finding {
    let name = &endpoint.name;
    let path = file(endpoint);
    evidence.insert(0, format!("{} says: nameserver {}", path.display(), server.ip()));
    let others: Vec<_> = servers(endpoint).unwrap_or_default().into_iter().filter(|ip| *ip != server.ip()).collect();
    if let Some(next) = others.first() {
        evidence.push(format!("the next name server there is {next}, asked only after a time-out"));
    }
    let command = match endpoint.pid {
        Some(pid) => format!("nsenter -t {pid} -m sh -c 'echo nameserver SERVER > /etc/resolv.conf'"),
        None => format!("echo nameserver SERVER > {}", path.display()),
    };
    Finding {
        cause: "dns-unreachable",
        rung: Rung::Endpoint,
        force: if others.is_empty() { Force::Stops } else { Force::Harms },
        sentence: format!(
            "{name} asks {} for names, and gets no answer: {why}. The network itself is not at fault: addresses are \
             reached as ever.",
            server.ip()
        ),
        culprit: Culprit { netns: Some(name.clone()), what: format!("nameserver {} in /etc/resolv.conf", server.ip()) },
        evidence,
        fix: vec![format!("{command}    # SERVER: the address of a name server that answers")],
        hints: vec![format!("no name is looked up, and yet a ping to an address works: try `ping {}`", server.ip())],
    }
}

#[cfg(test)]
mod tests {
    use super::server;

    #[test]
    fn a_line_of_resolv_conf_names_a_server_or_does_not() {
        assert_eq!(server("nameserver 10.0.0.1"), "10.0.0.1".parse().ok());
        assert_eq!(server("  nameserver\tfe80::1%eth0 # comment"), "fe80::1".parse().ok());
        assert_eq!(server("# nameserver 10.0.0.1"), None);
        assert_eq!(server("nameserver"), None);
        assert_eq!(server("nameservers 10.0.0.1"), None);
        assert_eq!(server("search example.org"), None);
    }
}
