//! The very rule that dropped a packet, or rewrote it, or would.
//!
//! The kernel does not say which rule it was. `nft monitor trace` and `-j TRACE` would, but need a rule of their own and
//! cost every packet; counters say how often a rule matched, not for whom. So nothing is asked until a packet was
//! dropped. Then [`Rules::read`] reads the rule set of that packet's namespace once, with the tools that its owner would
//! use, and [`Rules::dropped`] and [`Rules::translated`] take the packet through it as the kernel does: base chains in
//! the order of their priorities, jumps, gotos, returns, policies, sets and maps. A condition holds, does not hold, or
//! cannot be told; a rule is named as a fact only if no other can have done it. A [`Finding`] says which of these it is.
//!
//! Rules of iptables-nft are read as `iptables-save` prints them where their matches are opaque to nft; all else as nft's
//! JSON, not through the `nftables` crate's types, because one statement that a type does not know would cost the whole
//! rule set instead of one decision.
//!
//! [`Rules::passes`] asks beforehand: what would become of a packet that is only thought of.
//!
//! What it cannot tell, and therefore does not:
//!
//! - It reads the rules as they are now. A rule removed since the packet passed is not found; one added since may be
//!   named. Read soon, and keep what was read only for a moment.
//! - Matches that depend on what went before (`limit`, `recent`, `hashlimit`, `connlimit`, `quota`, sets that rules fill),
//!   on chance, time, owner, payload, or on the contents of an ipset are undecided, and so is each target or statement
//!   that is not known here.
//! - Headers beyond addresses, ports, protocol, ICMP type and code, TCP flags and length are not known.
//! - Chains of one priority run in the order in which they were added, which no tool shows. Only if more than one of
//!   them can have dropped the packet does it matter; then all are candidates.
//! - The bridge, arp and netdev families, the ingress hook, and BPF programs at netfilter hooks are not looked at: for
//!   what they drop, no rule is found.
//! - A table with the flag `dormant` is left out. Flowtables take packets past all rules; what never came to a hook is
//!   not asked about.

mod ask;
mod course;
mod iptables;
mod judge;
mod nft;
mod packet;
mod passage;
mod places;
mod protocol;
mod read;
mod rule;
mod table;
mod tool;
mod truth;
mod walk;

pub use ask::{Dropper, Side};
pub use packet::{InetHook, Packet, Tracking};
pub use passage::{End, Passage, Rewrite};
pub use read::{Error, Rules};
pub use rule::{Backend, Deed, Finding, Rule};
