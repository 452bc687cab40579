//! The records of the contract: what JSON shows as it stands, and what text is made of.
//!
//! A field that is not known is `null`, never left out, never guessed.

use serde::Serialize;

use super::{BridgeRecord, NeighbourRecord, RouteRecord};
use crate::evidence::{Evidence, Receiver};
use crate::rules::{Finding, Rule};

/// Source and destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TupleRecord {
    /// Source address.
    pub src: Option<String>,
    /// Destination address.
    pub dst: Option<String>,
    /// Source port.
    pub sport: Option<u16>,
    /// Destination port.
    pub dport: Option<u16>,
}

/// The conntrack entry at a hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConntrackRecord {
    /// `new`, `established`, `related`, `untracked`.
    pub state: Option<&'static str>,
    /// `original` or `reply`.
    pub direction: Option<&'static str>,
    /// Tuple of the direction the flow began in.
    pub orig: Option<TupleRecord>,
    /// Tuple the answer is expected to have.
    pub reply: Option<TupleRecord>,
    /// Conntrack zone.
    pub zone: u16,
    /// Conntrack mark.
    pub mark: u32,
}

/// One hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HopRecord {
    /// Nanoseconds since the packet was first seen.
    pub offset_ns: u64,
    /// The namespace's name.
    pub netns: Option<String>,
    /// The namespace's inode number.
    pub netns_inode: Option<u32>,
    /// The device's name at that moment.
    pub device: Option<String>,
    /// The device's index in its namespace.
    pub ifindex: Option<u32>,
    /// Name of the hook.
    pub hook: &'static str,
    /// It is a function's entry: one of dozens.
    #[serde(skip)]
    pub is_function: bool,
    /// Bytes, Ethernet header included where there is one.
    pub length: Option<u32>,
    /// Addresses and ports here.
    pub tuple: TupleRecord,
    /// Addresses and ports of the packet inside, where this one is a VXLAN tunnel's.
    pub inner: Option<TupleRecord>,
    /// The conntrack entry carried here; at a netfilter hook, when the packet left it.
    pub ct: Option<ConntrackRecord>,
    /// What netfilter did, at one of its hooks.
    pub netfilter: Option<NetfilterRecord>,
    /// Where it was routed to, at a routing lookup.
    pub route: Option<RouteRecord>,
    /// What a bridge decided, where that brought the packet here.
    pub bridge: Option<BridgeRecord>,
}

/// A packet's way through one netfilter hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NetfilterRecord {
    /// `accept` or `drop`; `null` if what became of it was not seen.
    pub verdict: Option<&'static str>,
    /// The device it is to leave by.
    pub out: Option<String>,
    /// Whether `br_netfilter` made a bridged frame pass here.
    pub bridged: bool,
    /// Addresses and ports when it left the hook, if that was seen.
    pub after: Option<TupleRecord>,
}

/// One NAT rewrite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NatRecord {
    /// `snat`, `dnat`, where the rule is known `masquerade` or `redirect`, too; or for a reply `un-snat`, `un-dnat`.
    pub kind: &'static str,
    /// Where.
    pub netns: Option<String>,
    /// The netfilter hook.
    pub hook: Option<&'static str>,
    /// Tuple before.
    pub before: TupleRecord,
    /// Tuple after.
    pub after: TupleRecord,
    /// Index of the first hop with the new tuple.
    pub before_hop: usize,
    /// The rule that asked for it.
    #[serde(flatten)]
    pub rule: RuleRecord,
}

/// Which rule it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuleRecord {
    /// The rule, as a fact.
    pub rule: Option<Rule>,
    /// Rules that may have done it, where it cannot be told which.
    pub rule_candidates: Vec<Rule>,
    /// Why there is no fact.
    pub rule_undecided: Vec<String>,
}

impl RuleRecord {
    /// Nothing, if the rule set was not asked.
    pub fn of(found: Option<Finding>) -> Self {
        found.map_or_else(Self::default, |found| Self {
            rule: found.rule,
            rule_candidates: found.candidates,
            rule_undecided: found.undecided,
        })
    }
}

/// The smallest MTU on a packet's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SmallestMtu {
    /// In bytes, from the IP header on.
    pub bytes: u32,
    /// The device's namespace.
    pub netns: Option<String>,
    /// The device.
    pub device: Option<String>,
}

/// The segment size that a SYN asked for: how large a segment its sender wants to receive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MssRecord {
    /// In bytes without headers, as first seen.
    pub offered: u16,
    /// What somebody made of it on the way.
    pub clamped_to: Option<u16>,
    /// Index of the first hop with the changed size.
    pub hop: Option<usize>,
    /// Whether such segments fit every device that the SYN passed; `null` if the MTU of one is not known.
    pub fits: Option<bool>,
    /// The largest size that fits the smallest MTU known.
    pub would_fit: Option<u16>,
    /// Of the devices that the SYN passed, by the MTU they have now.
    pub smallest_mtu: Option<SmallestMtu>,
}

/// Why a packet was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DropRecord {
    /// The running kernel's name, without its prefix.
    pub reason: Option<String>,
    /// The running kernel's number.
    pub reason_number: u32,
    /// The function that dropped it.
    pub function: Option<String>,
    /// Where.
    pub netns: Option<String>,
    /// The packet's device.
    pub device: Option<String>,
    /// The netfilter hook, where one is known to have dropped it.
    pub hook: Option<&'static str>,
    /// The firewall rule that dropped it, where netfilter did.
    #[serde(flatten)]
    pub rule: RuleRecord,
    /// Nanoseconds since the packet was first seen.
    pub offset_ns: u64,
    /// `false` for drops that healthy networks have too.
    pub fault: Option<bool>,
    /// What happened, in a sentence.
    pub explanation: &'static str,
    /// What the machine's own state says about it, clauses of a sentence.
    pub facts: Vec<String>,
    /// The same as values.
    pub evidence: Option<Evidence>,
    /// Why there is no evidence, where there could have been.
    pub evidence_missing: Option<&'static str>,
    /// What usually causes it.
    #[serde(skip)]
    pub causes: Vec<String>,
    /// What to try: commands with this packet's names in them.
    pub look: Vec<String>,
}

/// An ICMP or ICMPv6 error that the kernel answered a packet with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnswerRecord {
    /// `icmp` or `icmp6`.
    pub proto: &'static str,
    /// Message type.
    #[serde(rename = "type")]
    pub kind: u8,
    /// Message code.
    pub code: u8,
    /// In words.
    pub meaning: String,
    /// The largest packet that would have passed, where the error says that and it was seen.
    pub mtu: Option<u32>,
    /// `null` where it was seen to be made, but not whether it was sent: the kernel sends only so many a second.
    pub sent: Option<bool>,
    /// Where.
    pub netns: Option<String>,
}

/// How the packet came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndRecord {
    /// Nanoseconds since the packet was first seen; `null` if the kernel took it without a word.
    pub offset_ns: Option<u64>,
    /// The function that took or freed it.
    pub function: Option<String>,
    /// Name of the last namespace it was seen in.
    pub netns: Option<String>,
    /// Who got it, if it was delivered.
    pub socket: Option<Receiver>,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PacketRecord {
    /// Always `packet`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Unique within one run.
    pub id: String,
    /// The packet this one was made from.
    pub parent: Option<String>,
    /// How: `clone`, `retransmission`, `fragment` or `segment`.
    pub relation: Option<&'static str>,
    /// When it was first seen, RFC 3339.
    pub time: String,
    /// Protocol by pcap-filter's name.
    pub proto: String,
    /// A few words on it: TCP flags, an echo's sequence number.
    pub info: Option<String>,
    /// Of a SYN: the segment size it asked for.
    pub mss: Option<MssRecord>,
    /// Bytes when first seen.
    pub length: u32,
    /// Addresses and ports when first seen.
    pub tuple: TupleRecord,
    /// Where it was seen.
    pub hops: Vec<HopRecord>,
    /// What NAT made of it.
    pub nat: Vec<NatRecord>,
    /// Into how many fragments or segments it was cut, as far as they were seen.
    pub pieces: u32,
    /// Whom it waited for on its way.
    pub neighbours: Vec<NeighbourRecord>,
    /// `delivered`, `dropped`, `left`, `cloned-away`, `unknown`.
    pub outcome: &'static str,
    /// The ICMP error that the kernel answered it with.
    pub answered: Option<AnswerRecord>,
    /// Set if it was dropped.
    pub drop: Option<DropRecord>,
    /// Set if its end was seen, or if it was delivered.
    pub end: Option<EndRecord>,
}

/// What was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LostRecord {
    /// Events the ring buffer had no room for.
    pub ring: u64,
    /// Packets that matched but were not followed, since the machine had more of them than could be recorded.
    pub tracking: u64,
    /// Times a program did not run, since an interrupt found it running already on that CPU.
    pub missed: u64,
    /// Packets printed before they had ended, since too many were under way at once.
    pub cut_short: u64,
    /// Packets followed but not printed, since the trace was told to stop.
    pub unprinted: u64,
}

/// One hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeRecord {
    /// Its name.
    pub name: String,
    /// Program kind.
    pub kind: &'static str,
    /// Whether it was attached.
    pub attached: bool,
    /// The reason if not.
    pub why_not: Option<String>,
    /// The reason why not in a better way, if there is one.
    pub fell_back: Option<String>,
    /// It is one of many functions.
    #[serde(skip)]
    pub is_function: bool,
    /// Events it emitted.
    pub events: u64,
    /// Events of it that the ring buffer had no room for.
    pub lost: u64,
}

/// Packets printed, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OutcomeCounts {
    /// Taken by a socket or the kernel.
    pub delivered: u64,
    /// Thrown away, the harmless ones included.
    pub dropped: u64,
    /// Thrown away as healthy networks do.
    pub dropped_harmlessly: u64,
    /// Left this machine.
    pub left: u64,
    /// Only copies went on.
    pub cloned_away: u64,
    /// Not known.
    pub unknown: u64,
}

/// The end of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SummaryRecord {
    /// Always `summary`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Packets printed.
    pub packets: u64,
    /// Packets by outcome.
    pub outcomes: OutcomeCounts,
    /// Events the kernel emitted: decoded + lost in the ring, exactly.
    pub events: u64,
    /// Events read and understood.
    pub decoded: u64,
    /// What was lost.
    pub lost: LostRecord,
    /// Every hook.
    pub probes: Vec<ProbeRecord>,
    /// Exit status of COMMAND, if one was run: `null` if a signal ended it.
    pub command_status: Option<i32>,
}

/// What the running kernel allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CapabilitiesRecord {
    /// Always `capabilities`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `uname -r`
    pub kernel: String,
    /// Every hook.
    #[serde(serialize_with = "as_available")]
    pub probes: Vec<ProbeRecord>,
    /// What is not seen, a sentence each.
    pub blind_spots: Vec<String>,
}

/// A hook that was attached for a moment is one that is available.
fn as_available<S: serde::Serializer>(probes: &[ProbeRecord], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Available<'a> {
        name: &'a str,
        kind: &'a str,
        available: bool,
        why_not: &'a Option<String>,
        fell_back: &'a Option<String>,
    }
    serializer.collect_seq(probes.iter().map(|probe| Available {
        name: &probe.name,
        kind: probe.kind,
        available: probe.attached,
        why_not: &probe.why_not,
        fell_back: &probe.fell_back,
    }))
}
