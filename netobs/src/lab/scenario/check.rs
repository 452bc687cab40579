//! What a person would try: a ping, a connection, a question. Each has one outcome.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::super::typed::quoted;
use super::step::Typed;

/// Something tried from a node, and what should come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Where it is tried from.
    pub from: String,
    /// What is tried.
    pub attempt: Attempt,
    /// The outcomes that are as expected: kernels differ.
    pub expect: Vec<Outcome>,
}

/// What is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// One ICMP echo request with fragmentation forbidden.
    Ping {
        /// Whom.
        to: IpAddr,
        /// Bytes after the ICMP header, as `ping -s` counts them.
        size: u16,
        /// The address it is sent from, if not the kernel's choice.
        source: Option<IpAddr>,
    },
    /// A TCP connection that is closed once it stands.
    Connect {
        /// Address and port.
        to: SocketAddr,
    },
    /// A page fetched over HTTP.
    Http {
        /// Address and port.
        to: SocketAddr,
    },
    /// As many bytes sent over TCP, to a server that this check runs in a node.
    Bulk {
        /// Address and port.
        to: SocketAddr,
        /// The node that the server runs in.
        at: String,
        /// How many bytes.
        bytes: u64,
    },
    /// UDP datagrams, each from a port of its own, to a server that answers each, which this check runs in a node.
    Udp {
        /// Address and port.
        to: SocketAddr,
        /// The node that the server runs in.
        at: String,
        /// How many datagrams.
        flows: u16,
    },
    /// A name looked up with the node's first name server.
    Dns {
        /// The name.
        name: String,
    },
    /// A command run in the node.
    Run(Vec<String>),
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It worked; a command ended with status 0.
    Answered,
    /// Some of several were answered.
    PartlyAnswered,
    /// Nothing came back in time.
    Silence,
    /// A transfer began and did not end in time.
    Stalled,
    /// `ECONNREFUSED`: nobody listens, says the other end.
    Refused,
    /// `ECONNRESET`
    Reset,
    /// `ENETUNREACH`: the sender has no route.
    NetworkUnreachable,
    /// `EHOSTUNREACH`: a neighbour does not answer, or a router says so.
    HostUnreachable,
    /// `EMSGSIZE`: the path's MTU is smaller.
    MessageTooLong,
    /// `EPERM`: netfilter refused it as it was sent.
    NotPermitted,
    /// `ENOBUFS`: the device refused it as it was sent.
    NoBufferSpace,
    /// `EADDRNOTAVAIL`: the source is no address of the node.
    NoSuchAddress,
    /// A command ended with another status than 0.
    Failed,
    /// A signal ended a command.
    Killed,
}

impl Outcome {
    /// The outcome that a system call's error is.
    pub(super) fn of_errno(errno: i32) -> Option<Self> {
        Some(match errno {
            libc::ECONNREFUSED => Self::Refused,
            libc::ECONNRESET | libc::EPIPE => Self::Reset,
            libc::ENETUNREACH => Self::NetworkUnreachable,
            libc::EHOSTUNREACH => Self::HostUnreachable,
            libc::EMSGSIZE => Self::MessageTooLong,
            libc::EPERM => Self::NotPermitted,
            libc::ENOBUFS => Self::NoBufferSpace,
            libc::EADDRNOTAVAIL => Self::NoSuchAddress,
            libc::EAGAIN | libc::ETIMEDOUT | libc::EINPROGRESS => Self::Silence,
            _ => return None,
        })
    }

    fn words(self) -> &'static str {
        match self {
            Self::Answered => "works",
            Self::PartlyAnswered => "only some of them work",
            Self::Silence => "gets no answer",
            Self::Stalled => "begins and stalls",
            Self::Refused => "is refused (ECONNREFUSED)",
            Self::Reset => "is cut off (ECONNRESET)",
            Self::NetworkUnreachable => "cannot be sent: no route (ENETUNREACH)",
            Self::HostUnreachable => "fails: host unreachable (EHOSTUNREACH)",
            Self::MessageTooLong => "fails: message too long (EMSGSIZE)",
            Self::NotPermitted => "cannot be sent: not permitted (EPERM)",
            Self::NoBufferSpace => "cannot be sent: no buffer space (ENOBUFS)",
            Self::NoSuchAddress => "cannot be sent: no such address here (EADDRNOTAVAIL)",
            Self::Failed => "fails",
            Self::Killed => "is killed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl fmt::Display for Check {
    /// As the subject of a sentence: `c1: ping 10.40.0.1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.from, self.attempt)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ping { to, size, source } => {
                write!(f, "ping {to}")?;
                if *size != Self::PING_SIZE {
                    write!(f, " with {size} bytes")?;
                }
                source.map_or(Ok(()), |source| write!(f, " from {source}"))
            }
            Self::Connect { to } => write!(f, "connect to {to}"),
            Self::Http { to } => write!(f, "fetch http://{to}/"),
            Self::Bulk { to, bytes, .. } => write!(f, "send {} KiB to {to} over TCP", bytes / 1024),
            Self::Udp { to, flows: 1, .. } => write!(f, "ask {to} over UDP"),
            Self::Udp { to, flows, .. } => write!(f, "ask {to} over UDP from {flows} ports"),
            Self::Dns { name } => write!(f, "look up {name}"),
            Self::Run(command) => f.write_str(&command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")),
        }
    }
}

impl Attempt {
    /// What `ping` sends unless told otherwise.
    pub const PING_SIZE: u16 = 56;

    /// What a person would type to try the same.
    pub(super) fn typed(&self, by: &Typed<'_>) -> String {
        match self {
            Self::Ping { to, size, source } => {
                let big = if *size == Self::PING_SIZE { String::new() } else { format!(" -M do -s {size}") };
                let source = source.map_or_else(String::new, |source| format!(" -I {source}"));
                by.in_netns(&format!("ping -c1 -W1{big}{source} {to}"))
            }
            Self::Connect { to } => by.in_netns(&format!("nc -zv -w1 {} {}", to.ip(), to.port())),
            Self::Http { to } => by.in_netns(&format!("curl -m2 http://{to}/")),
            Self::Bulk { to, bytes, .. } => {
                by.in_netns(&format!("iperf3 -c {} -p {} -n {bytes}   (iperf3 -s there)", to.ip(), to.port()))
            }
            Self::Udp { to, .. } => by.in_netns(&format!("nc -u -w1 {} {}", to.ip(), to.port())),
            Self::Dns { name } => by.in_node(&["nslookup".to_owned(), name.clone()]),
            Self::Run(command) => by.in_node(command),
        }
    }

    /// The address it is about, for those that have one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Ping { to, .. } => Some(*to),
            Self::Connect { to } | Self::Http { to } | Self::Bulk { to, .. } | Self::Udp { to, .. } => Some(to.ip()),
            Self::Dns { .. } | Self::Run(_) => None,
        }
    }
}
