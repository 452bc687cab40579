//! NAT, seen as a tuple that changed between two hops of one packet.

use netobs_ebpf::Hook;

use super::Hop;
use crate::event::{Direction, Tuple};
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
    /// The netfilter hook that rewrites so: destinations at `nf_prerouting`, sources at `nf_postrouting`
    /// (`nf_nat_ipv4_ops`). `None` where the path between the two hops passes more than one such hook.
    pub hook: Option<&'static str>,
    /// Tuple before.
    pub before: Tuple,
    /// Tuple after.
    pub after: Tuple,
}

/// What happened to the tuple between `earlier` and `later`, the hop with index `index`.
pub fn between(earlier: &Hop, later: &Hop, index: usize) -> Vec<Rewrite> {
    let (before, after) = (earlier.headers.tuple, later.headers.tuple);
    if before == after || earlier.headers.proto != later.headers.proto {
        return Vec::new();
    }
    let is_reply = later.conntrack.as_ref().and_then(|ct| ct.direction) == Some(Direction::Reply);
    let mut rewrites = Vec::new();
    // The stack rewrites destinations before it routes and sources after.
    let mut now = before;
    if (before.dst, before.dport) != (after.dst, after.dport) {
        now = Tuple { dst: after.dst, dport: after.dport, ..now };
        let kind = if is_reply { RewriteKind::UnSnat } else { RewriteKind::Dnat };
        rewrites.push(Rewrite { kind, before_hop: index, netns: later.netns, hook: None, before, after: now });
    }
    if (before.src, before.sport) != (after.src, after.sport) {
        let kind = if is_reply { RewriteKind::UnDnat } else { RewriteKind::Snat };
        rewrites.push(Rewrite { kind, before_hop: index, netns: later.netns, hook: None, before: now, after });
    }
    let forwarded = earlier.netns == later.netns && matches!(earlier.hook, Hook::NetifReceiveSkb | Hook::TcIngress);
    for rewrite in &mut rewrites {
        rewrite.hook = match (rewrite.kind.changes_source(), later.hook) {
            // Received here and now leaving: PREROUTING and POSTROUTING lie between, FORWARD rewrites nothing.
            (true, Hook::NetDevQueue | Hook::TcEgress) if forwarded => Some("nf_postrouting"),
            (false, Hook::NetDevQueue | Hook::TcEgress) if forwarded => Some("nf_prerouting"),
            // From a bridge port to the bridge: only br_netfilter's PREROUTING lies between.
            (false, Hook::NetifReceiveSkb) if forwarded => Some("nf_prerouting"),
            _ => None,
        };
    }
    rewrites
}
