//! Whom a person means: a lab's node, a container, a namespace, a process, the machine itself.

mod address;
mod asked;
mod dns;
mod files;
mod names;
mod resolve;

use super::Endpoint;
use crate::container::{self, Container};
use crate::lab::{self, State};
use crate::netlink;
use crate::netns::{self, Netns, NetnsInode, pinned};

pub use address::address_of;
pub use asked::{AskError, Asked};
pub use files::read_inside;
pub(in crate::diagnose) use names::ResolvConf;
pub use resolve::{Resolution, resolve};

/// As many names as a message lists.
const LISTED: usize = 12;

/// Nobody is meant, or several.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Nothing is called so.
    #[error("there is no node, container or namespace `{name}`; {there}")]
    Unknown {
        /// The name.
        name: String,
        /// What there is, in words.
        there: String,
    },
    /// Several are.
    #[error("`{name}` may be {candidates}: name it so that it can only be one")]
    Ambiguous {
        /// The name.
        name: String,
        /// What it may be.
        candidates: String,
    },
    /// It is there, and cannot be entered.
    #[error(transparent)]
    Netns(#[from] netns::Error),
    /// It was there a moment ago.
    #[error("the namespace of {0} is gone")]
    Gone(String),
    /// Its addresses cannot be read.
    #[error("{name}: {error}")]
    Addresses {
        /// Whose.
        name: String,
        /// Why.
        error: netlink::Error,
    },
    /// The labs' state cannot be read.
    #[error(transparent)]
    Lab(#[from] lab::Error),
}

/// One that a name may mean.
struct Candidate {
    endpoint: Endpoint,
    /// In words: `the container c1 of Docker (pid:4711)`.
    told: String,
}

/// Finds an endpoint by the name that a person gave: `host`, `pid:N`, a lab's node (`lab-c1`, or `c1` if only one lab
/// has such a node or the lab is called `lab`), a container by name or the beginning of its id, a name under
/// `/run/netns`, or a namespace's path.
///
/// # Errors
/// Nothing is called so, or several are, or the namespace cannot be opened.
pub fn find(name: &str) -> Result<Endpoint, EndpointError> {
    let plain = name == "host" || name.starts_with("pid:") || name.contains('/');
    if plain && !container_has_slash(name) {
        let inode = Netns::open(name)?.inode();
        return Ok(Endpoint { name: name.to_owned(), netns: inode, pid: process_of(name, inode) });
    }
    let labs = State::all()?;
    let mut candidates: Vec<Candidate> = of_labs(name, &labs)?;
    for container in container::find(name) {
        candidates.extend(of_container(&container));
    }
    // A lab's nodes are pinned, too.
    if candidates.is_empty()
        && let Ok(netns) = Netns::pinned(name)
    {
        let inode = netns.inode();
        let endpoint = Endpoint { name: name.to_owned(), netns: inode, pid: inode.first_process() };
        candidates.push(Candidate { endpoint, told: format!("the namespace {name}") });
    }
    // A container whose namespace somebody gave a name is one place by two names.
    candidates.dedup_by_key(|candidate| candidate.endpoint.netns);
    match (candidates.pop(), candidates.is_empty()) {
        (Some(only), true) => Ok(only.endpoint),
        (None, _) => Err(EndpointError::Unknown { name: name.to_owned(), there: what_there_is(&labs) }),
        (Some(last), false) => {
            candidates.push(last);
            let told: Vec<_> = candidates.into_iter().map(|candidate| candidate.told).collect();
            Err(EndpointError::Ambiguous { name: name.to_owned(), candidates: told.join(", or ") })
        }
    }
}

/// The same, for somebody whom `from` wants to reach: in a lab, a node's own name means its neighbour there.
///
/// # Errors
/// As [`find`].
pub fn find_beside(name: &str, from: &Endpoint) -> Result<Endpoint, EndpointError> {
    let labs = State::all()?;
    let own = labs.iter().find(|state| state.nodes.iter().any(|node| node.namespace == from.name));
    let neighbour = own.and_then(|state| state.node(name));
    find(neighbour.map_or(name, |node| node.namespace.as_str()))
}

/// Kubernetes' names have slashes, and no path begins without one.
fn container_has_slash(name: &str) -> bool {
    name.contains('/') && !name.starts_with(['/', '.'])
}

fn of_labs(name: &str, labs: &[State]) -> Result<Vec<Candidate>, EndpointError> {
    let mut found = Vec::new();
    for state in labs {
        for node in &state.nodes {
            if node.namespace == name || node.node == name {
                found.push((state, node));
            }
        }
    }
    let whole = |(_, node): &&(&State, &lab::NodeState)| node.namespace == name;
    let default = |(state, _): &&(&State, &lab::NodeState)| state.lab.as_str() == lab::LabName::DEFAULT;
    if let Some(one) = found.iter().find(whole).or_else(|| found.iter().find(default)).copied() {
        found = vec![one];
    }
    let candidate = |(_, node): (&State, &lab::NodeState)| {
        let inode = Netns::pinned(&node.namespace)?.inode();
        let endpoint = Endpoint { name: node.namespace.clone(), netns: inode, pid: inode.first_process() };
        Ok(Candidate { told: format!("the lab node {}", node.namespace), endpoint })
    };
    found.into_iter().map(candidate).collect()
}

fn of_container(container: &Container) -> Option<Candidate> {
    let netns = Netns::of_process(container.pid).ok()?;
    let told = format!("the container {} of {} (pid:{})", container.name, container.runtime, container.pid);
    let endpoint = Endpoint { name: container.name.clone(), netns: netns.inode(), pid: Some(container.pid) };
    Some(Candidate { endpoint, told })
}

/// The process that a name without a container in it stands for.
fn process_of(name: &str, inode: NetnsInode) -> Option<i32> {
    let pid = match name {
        "host" => Some(1).filter(|pid| NetnsInode::of_process(*pid) == Some(inode)),
        _ => name.strip_prefix("pid:").and_then(|pid| pid.parse().ok()),
    };
    pid.or_else(|| inode.first_process())
}

fn what_there_is(labs: &[State]) -> String {
    let mut all: Vec<String> =
        labs.iter().flat_map(|state| state.nodes.iter().map(|node| node.namespace.clone())).collect();
    all.extend(container::names());
    all.extend(pinned().unwrap_or_default().into_iter().map(|pin| pin.name));
    let mut there: Vec<String> = Vec::new();
    for name in all {
        if !there.contains(&name) {
            there.push(name);
        }
    }
    let more = there.len().saturating_sub(LISTED);
    there.truncate(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    if there.is_empty() {
        "there are: host, pid:N (`netobs lab up` makes a network to try)".to_owned()
    } else {
        format!("there are: {}{more}; host, pid:N", there.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::{EndpointError, find};

    #[test]
    fn finds_processes_and_the_machine() {
        let own = std::process::id();
        let found = find(&format!("pid:{own}")).unwrap();
        assert_eq!((found.name, found.pid), (format!("pid:{own}"), i32::try_from(own).ok()));
        assert_eq!(find("host").unwrap().name, "host");
        assert_eq!(find("/proc/self/ns/net").unwrap().netns, found.netns);
    }

    #[test]
    fn says_what_there_is() {
        let error = find("no-such-endpoint").unwrap_err();
        assert!(matches!(error, EndpointError::Unknown { .. }), "{error}");
        assert!(error.to_string().contains("pid:N"), "{error}");
        assert!(find("pid:0").is_err());
        assert!(find("../etc").is_err());
    }
}
