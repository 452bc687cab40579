//! Meaning: what a drop says to somebody who has to mend it.
//!
//! The knowledge is data. `reasons` has a table per part of the stack, a row per drop reason of 6.1 to 7.x, and rows for
//! a reason in one function where that says more: `NO_SOCKET` is a closed port in `tcp_v4_rcv` and nothing at all in
//! `ping_rcv`. Reasons are looked up by the running kernel's name for them, never by number.

mod advice;
pub mod cause;
mod reasons;
#[cfg(test)]
mod tests;

pub use advice::{Place, advice};

use std::fmt;

/// Whether a drop is something to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Somebody's packet was lost, or the sender was refused.
    Fault,
    /// Healthy kernels do this all the time; nobody missed the packet.
    Noise,
    /// Either, by what the packet was and what was going on: see the causes.
    Depends,
}

impl Kind {
    /// `false` for what healthy networks do too, `None` where that depends.
    pub(crate) fn is_fault(self) -> Option<bool> {
        match self {
            Self::Fault => Some(true),
            Self::Noise => Some(false),
            Self::Depends => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fault => "fault",
            Self::Noise => "noise",
            Self::Depends => "depends",
        })
    }
}

/// What is known of a drop reason, or of one in a certain function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What happened, in one sentence of at most 160 characters.
    pub what: &'static str,
    /// What usually causes it where there are containers, the commonest first. May be empty.
    pub causes: &'static [&'static str],
    /// What to look at: commands, with NETNS, DEV, SRC and DST standing for the packet's own. One that ends with
    /// `in NETNS` is to be run inside that namespace (`ip netns exec NETNS …`). Empty only for noise.
    pub look: &'static [&'static str],
    /// Whether it is something to mend.
    pub kind: Kind,
}

/// For a drop whose reason the running kernel names and we have no row for.
static UNKNOWN: Explanation = Explanation {
    what: "All that is known of this drop is the kernel's own name for it.",
    causes: &[],
    look: &["the dropping function in the kernel's source", "include/net/dropreason-core.h of this kernel"],
    kind: Kind::Depends,
};

/// For a drop that came without a reason, or with one that the kernel's own enum does not name.
static UNNAMED: Explanation = Explanation {
    what: "The kernel gave no name for why it dropped this.",
    causes: &[],
    look: &["the dropping function in the kernel's source"],
    kind: Kind::Depends,
};

/// What a drop means: `reason` is the kernel's enum name, with or without `SKB_DROP_REASON_`, `function` the kernel
/// function that dropped. The row for both together wins over the row for the reason alone. A reason without a row gets
/// an explanation that says so.
pub fn drop(reason: Option<&str>, function: Option<&str>) -> &'static Explanation {
    let Some(reason) = reason else { return &UNNAMED };
    let reason = reason.strip_prefix("SKB_DROP_REASON_").unwrap_or(reason);
    let rows = || reasons::TABLES.iter().copied().flatten().filter(|row| row.reasons.contains(&reason));
    let exact = function.and_then(|function| rows().find(|row| row.functions.contains(&function)));
    exact.or_else(|| rows().find(|row| row.functions.is_empty())).map_or(&UNKNOWN, |row| &row.explanation)
}

/// Whether there is a row of its own for this reason, in whatever function.
pub fn is_known(reason: &str) -> bool {
    !std::ptr::eq(drop(Some(reason), None), &UNKNOWN)
}
