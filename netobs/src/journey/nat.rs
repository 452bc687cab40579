//! NAT, seen as a tuple that changed between two hops of one packet.

use netobs_ebpf::Hook;

use super::Hop;
use crate::event::{Conntrack, Direction, Headers, Tuple};
use crate::netns::NetnsInode;

/// What was rewritten. `Un…` is the automatic reverse that a reply gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RewriteKind {
    /// The source of a packet in its flow's original direction.
    Snat,
    /// The destination of a packet in its flow's original direction.
    Dnat,
    /// The destination of a reply, back to what the flow's source had been.
    UnSnat,
    /// The source of a reply, back to what the flow's destination had been.
    UnDnat,
}

impl RewriteKind {
    /// The name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Snat => "snat",
            Self::Dnat => "dnat",
            Self::UnSnat => "un-snat",
            Self::UnDnat => "un-dnat",
        }
    }

    fn changes_source(self) -> bool {
        matches!(self, Self::Snat | Self::UnDnat)
    }
}

/// One rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Which.
    pub kind: RewriteKind,
    /// Index of the first hop that shows the new tuple.
    pub before_hop: usize,
    /// Where it happened.
    pub netns: Option<NetnsInode>,
    /// The netfilter hook that rewrites so: destinations at PREROUTING, sources at POSTROUTING
    /// (`nf_nat_ipv4_ops`). `None` where the path between the two hops passes more than one such hook.
    pub hook: Option<Hook>,
    /// Tuple before.
    pub before: Tuple,
    /// Tuple after.
    pub after: Tuple,
}

/// The netfilter hook that rewrote the packet between the last of these hops and `later`.
pub fn hook_between(hops: &[Hop], kind: RewriteKind, later: &Hop) -> Option<Hook> {
    let earlier = hops.iter().rev().find(|hop| !hop.hook.is_call()).filter(|hop| hop.netns == later.netns)?;
    // PREROUTING rewrites no sources: a fragment is not seen between there and the device, the whole datagram is.
    let has_whole = kind.changes_source() && earlier.hook == Hook::NfPrerouting;
    let received = has_whole || matches!(earlier.hook, Hook::NetifReceiveSkb | Hook::TcIngress);
    match (kind.changes_source(), later.hook) {
        // Functions called from the hook may lie between, nothing else.
        _ if earlier.hook.is_netfilter() && !has_whole => Some(earlier.hook),
        // Received here and now leaving: PREROUTING and POSTROUTING lie between, FORWARD rewrites nothing.
        (true, Hook::NetDevQueue | Hook::TcEgress) if received => Some(Hook::NfPostrouting),
        (false, Hook::NetDevQueue | Hook::TcEgress) if received => Some(Hook::NfPrerouting),
        // From a bridge port to the bridge: only br_netfilter's PREROUTING lies between.
        (false, Hook::NetifReceiveSkb) if received => Some(Hook::NfPrerouting),
        _ => None,
    }
}

/// What changed, and how: each with its tuple before and after.
pub fn changes(earlier: &Headers, later: &Headers, conntrack: Option<&Conntrack>) -> Vec<(RewriteKind, Tuple, Tuple)> {
    let (before, after) = (earlier.tuple, later.tuple);
    if before == after || earlier.proto != later.proto {
        return Vec::new();
    }
    let is_reply = conntrack.and_then(|ct| ct.direction) == Some(Direction::Reply);
    let mut changes = Vec::new();
    // The stack rewrites destinations before it routes and sources after.
    let mut now = before;
    if (before.dst, before.dport) != (after.dst, after.dport) {
        now = Tuple { dst: after.dst, dport: after.dport, ..now };
        changes.push((if is_reply { RewriteKind::UnSnat } else { RewriteKind::Dnat }, before, now));
    }
    if (before.src, before.sport) != (after.src, after.sport) {
        changes.push((if is_reply { RewriteKind::UnDnat } else { RewriteKind::Snat }, now, after));
    }
    changes
}
