//! The answer: a rule, or what can be said instead.

use std::fmt;

use serde::Serialize;

/// Which tool a rule belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// `nft`
    Nft,
    /// `iptables` and `ip6tables`, kept in the kernel's nf_tables.
    IptablesNft,
    /// `iptables-legacy` and `ip6tables-legacy`.
    IptablesLegacy,
}

/// What a rule does to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Throws it away.
    Drop,
    /// Throws it away and answers its sender.
    Reject,
    /// Hands it to a program, which decides.
    Queue,
    /// Something netobs does not know, which may throw it away.
    Unknown,
    /// Rewrites the destination to a given one.
    Dnat,
    /// Rewrites the destination to an address of this machine.
    Redirect,
    /// Rewrites the source to a given one.
    Snat,
    /// Rewrites the source to the address of the device the packet leaves by.
    Masquerade,
}

impl Deed {
    /// The name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Queue => "queue",
            Self::Unknown => "unknown",
            Self::Dnat => "dnat",
            Self::Redirect => "redirect",
            Self::Snat => "snat",
            Self::Masquerade => "masquerade",
        }
    }
}

/// A rule of the rule set, or a base chain's policy.
///
/// Names and text were written by whoever may change the rule set; they are not escaped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Rule {
    /// The tool that shows it.
    pub backend: Backend,
    /// `ip`, `ip6` or `inet`.
    pub family: String,
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// nft's handle; `None` for iptables, and for a policy.
    pub handle: Option<u64>,
    /// Its number in the chain, from 1, as `iptables -L --line-numbers` counts; `None` for a policy.
    pub position: Option<u32>,
    /// The rule as its tool prints it: `-A FORWARD -s 10.40.0.2/32 -j DROP`, `ip saddr @bad drop`; of a policy
    /// `-P FORWARD DROP` or `policy drop`.
    pub text: String,
    /// It is the chain's policy: no rule of the chain decided.
    pub policy: bool,
    /// What it does.
    pub deed: Deed,
}

/// `ip filter FORWARD rule 3: -A FORWARD …`
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.family, self.table, self.chain)?;
        match (self.handle, self.position) {
            (Some(handle), _) => write!(f, " handle {handle}: {}", self.text),
            (None, Some(position)) => write!(f, " rule {position}: {}", self.text),
            (None, None) => write!(f, ": {}", self.text),
        }
    }
}

/// What the rule set says about one packet.
///
/// - `rule` set: this rule did it.
/// - `rule` unset, `candidates` not empty: one of these did it, or none; `undecided` says what could not be decided.
/// - all empty: the rule set as it is now does not do this to the packet. A drop then has another cause (conntrack's
///   table was full, a BPF program, a bridge rule), or the rules were changed since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule, as a fact.
    pub rule: Option<Rule>,
    /// The rules that may have done it, in the order in which the packet meets them.
    pub candidates: Vec<Rule>,
    /// Why there is no fact, a line each.
    pub undecided: Vec<String>,
}
