//! Numbers that the kernel counts in a node, by the names people know them by.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::super::state::NodeState;
use super::super::typed::quoted;
use super::step::Typed;
use crate::netns::{Netns, in_netns};

/// A counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Of the protocols, as `nstat` names them: `IpInAddrErrors`, `TcpExtIPReversePathFilter`.
    Protocol(String),
    /// Of connection tracking, as `conntrack -S` names them: `conntrack:insert_failed`.
    Conntrack(String),
    /// Of a link, as `/sys/class/net/*/statistics` names them: `c1-h:rx_dropped`.
    Link {
        /// The link.
        device: String,
        /// The counter.
        name: String,
    },
    /// Of the node's memory, as `memory.events` names them: `memory:oom_kill`.
    Memory(String),
}

impl FromStr for Counter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sound = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        };
        let (owner, name) = text.split_once(':').map_or((None, text), |(owner, name)| (Some(owner), name));
        if !sound(name)
            || !owner.is_none_or(sound)
            || name.starts_with('.')
            || owner.is_some_and(|o| o.starts_with('.'))
        {
            return Err(format!(
                "`{text}` is not a counter: IpInAddrErrors, conntrack:drop, eth0:rx_dropped and memory:oom_kill are"
            ));
        }
        let name = name.to_owned();
        Ok(match owner {
            None => Self::Protocol(name),
            Some("conntrack") => Self::Conntrack(name),
            Some("memory") => Self::Memory(name),
            Some(device) => Self::Link { device: device.to_owned(), name },
        })
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(name) => f.write_str(name),
            Self::Conntrack(name) => write!(f, "conntrack {name}"),
            Self::Link { device, name } => write!(f, "{name} on {device}"),
            Self::Memory(name) => write!(f, "memory {name}"),
        }
    }
}

impl Counter {
    /// Its value now.
    pub(super) fn read(&self, node: &NodeState, netns: &Netns) -> io::Result<u64> {
        match self {
            Self::Memory(name) => memory(node, name),
            Self::Protocol(name) => in_netns(netns, || protocol(name)).map_err(io::Error::other)?,
            Self::Conntrack(name) => in_netns(netns, || conntrack(name)).map_err(io::Error::other)?,
            Self::Link { device, name } => in_netns(netns, || link(device, name)).map_err(io::Error::other)?,
        }
    }

    /// What a person would type to read it.
    pub(super) fn typed(&self, by: &Typed<'_>) -> String {
        match self {
            Self::Protocol(name) => by.in_netns(&format!("nstat -az {}", quoted(name))),
            Self::Conntrack(_) => by.in_netns("conntrack -S"),
            Self::Link { device, .. } => by.in_netns(&format!("ip -s link show {}", quoted(device))),
            Self::Memory(_) => format!("cat /sys/fs/cgroup/netobs/{}/memory.events", by.netns),
        }
    }
}

fn absent(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("this kernel has no counter {name}"))
}

/// `/proc/net/snmp` and `netstat`: a line of names, then a line of values, each after the protocol's name.
fn protocol(name: &str) -> io::Result<u64> {
    for file in ["snmp", "netstat"] {
        let text = fs::read_to_string(Path::new("/proc/thread-self/net").join(file))?;
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.chunks_exact(2) {
            let [names, values] = pair else { continue };
            let Some((group, names)) = names.split_once(": ") else { continue };
            let Some(wanted) = name.strip_prefix(group) else { continue };
            let values = values.split_whitespace().skip(1);
            if let Some((_, value)) = names.split_whitespace().zip(values).find(|(name, _)| *name == wanted) {
                return value.parse().map_err(io::Error::other);
            }
        }
    }
    // IPv6's has a line each.
    let text = fs::read_to_string("/proc/thread-self/net/snmp6").unwrap_or_default();
    let of = |line: &str| line.strip_prefix(name).and_then(|rest| rest.trim().parse().ok());
    text.lines().find_map(of).ok_or_else(|| absent(name))
}

/// `/proc/net/stat/nf_conntrack`: a line of names, then hexadecimal values, a line for each CPU.
fn conntrack(name: &str) -> io::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/net/stat/nf_conntrack")?;
    let mut lines = text.lines();
    let names = lines.next().unwrap_or_default();
    let column = names.split_whitespace().position(|known| known == name).ok_or_else(|| absent(name))?;
    let value = |line: &str| u64::from_str_radix(line.split_whitespace().nth(column).unwrap_or("0"), 16).unwrap_or(0);
    Ok(lines.map(value).sum())
}

/// `/proc/net/dev`: sysfs would show the namespace of whoever mounted it.
fn link(device: &str, name: &str) -> io::Result<u64> {
    const COLUMNS: [&str; 16] = [
        "rx_bytes",
        "rx_packets",
        "rx_errors",
        "rx_dropped",
        "rx_fifo",
        "rx_frame",
        "rx_compressed",
        "multicast",
        "tx_bytes",
        "tx_packets",
        "tx_errors",
        "tx_dropped",
        "tx_fifo",
        "collisions",
        "tx_carrier",
        "tx_compressed",
    ];
    let column = COLUMNS.iter().position(|known| *known == name).ok_or_else(|| absent(name))?;
    let text = fs::read_to_string("/proc/thread-self/net/dev")?;
    let of = |line: &str| {
        let (known, values) = line.trim().split_once(':')?;
        (known == device).then(|| values.split_whitespace().nth(column)?.parse().ok())?
    };
    text.lines().find_map(of).ok_or_else(|| absent(&format!("{name} of {device}")))
}

/// `memory.events` in version 2, `memory.oom_control` in version 1: a name and a value a line.
fn memory(node: &NodeState, name: &str) -> io::Result<u64> {
    let group: &PathBuf =
        node.cgroup.as_ref().ok_or_else(|| io::Error::other(format!("{} has no memory limit", node.node)))?;
    let text = fs::read_to_string(group.join("memory.events"))
        .or_else(|_| fs::read_to_string(group.join("memory.oom_control")))?;
    let of =
        |line: &str| line.split_once(' ').filter(|(known, _)| *known == name).and_then(|(_, value)| value.parse().ok());
    text.lines().find_map(of).ok_or_else(|| absent(&format!("memory {name}")))
}
