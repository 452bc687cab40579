//! One thing that is wrong, for itself.

use serde::Serialize;

/// A rung of the ladder, in the order in which they are climbed, and faults mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// Devices and cables.
    Link,
    /// Addresses and their prefixes.
    Address,
    /// Routes.
    Route,
    /// The next hop answers.
    Gateway,
    /// Bridge ports and what the bridge has learnt.
    Bridge,
    /// Whether a namespace forwards, and takes packets from where they come.
    Forwarding,
    /// Rules that drop.
    Rules,
    /// Rules that rewrite.
    Nat,
    /// The connection table.
    Conntrack,
    /// Sizes.
    Mtu,
    /// Who waits at the end.
    Listener,
    /// The way back.
    WayBack,
    /// What is not the network: the resolver's file, the memory limit.
    Endpoint,
}

impl Rung {
    /// What a person calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Address => "address",
            Self::Route => "route",
            Self::Gateway => "gateway",
            Self::Bridge => "bridge",
            Self::Forwarding => "forwarding",
            Self::Rules => "rules",
            Self::Nat => "nat",
            Self::Conntrack => "conntrack",
            Self::Mtu => "mtu",
            Self::Listener => "listener",
            Self::WayBack => "way back",
            Self::Endpoint => "endpoint",
        }
    }
}

/// What a finding does to the packet that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Force {
    /// No packet of this flow can get through. An answer refutes it.
    Stops,
    /// Small packets get through and some do not, or only for now. Stands beside an answer.
    Harms,
    /// May be why, if there is no answer. Says nothing where there is one.
    MayStop,
}

/// What is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Culprit {
    /// Name of the namespace; `None` where it has none any more.
    pub netns: Option<String>,
    /// A setting with its value, a device with its state, a rule, a route, a socket that is missing.
    pub what: String,
}

/// A fault. Its texts hold names as strangers chose them: they are escaped where they are printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The scenario's name, or one in its manner for what no scenario is about.
    pub cause: &'static str,
    /// Where on the ladder.
    pub rung: Rung,
    /// What it does.
    pub force: Force,
    /// The whole of it in a sentence, as a colleague would say it: what is wrong, where, and what becomes of the packet.
    pub sentence: String,
    /// Who is to blame.
    pub culprit: Culprit,
    /// What was read where, one fact a line: `net.ipv4.ip_forward is 0 in lab-host`.
    pub evidence: Vec<String>,
    /// The commands that mend it, as a person on this machine would type them, in order.
    pub fix: Vec<String>,
    /// What is commonly believed here and wrong, or worth knowing.
    pub hints: Vec<String>,
}
