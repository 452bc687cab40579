//! What is known of the packet that a rule set is asked about.

use crate::event::{Conntrack, Detail, Headers, Proto, State, Tuple};

/// The five hooks of the IP stack (`enum nf_inet_hooks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InetHook {
    /// `NF_INET_PRE_ROUTING`
    Prerouting,
    /// `NF_INET_LOCAL_IN`
    Input,
    /// `NF_INET_FORWARD`
    Forward,
    /// `NF_INET_LOCAL_OUT`
    Output,
    /// `NF_INET_POST_ROUTING`
    Postrouting,
}

impl InetHook {
    /// All five, in the kernel's order.
    pub const ALL: [Self; 5] = [Self::Prerouting, Self::Input, Self::Forward, Self::Output, Self::Postrouting];

    /// The name nft has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        }
    }

    /// The hook nft has this name for.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.name() == name)
    }
}

/// What connection tracking makes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// It was not seen.
    Unknown,
    /// The packet carries no entry: state `INVALID`.
    Invalid,
    /// The packet carries this entry, or is marked as untracked.
    Entry(Conntrack),
}

/// A packet as it met the hook it died at, or, for NAT, as its flow's first packet was before the rewrite.
///
/// `None` and [`Tracking::Unknown`] mean that it is not known; a rule that asks for it then cannot be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Addresses and ports when it was dropped.
    pub tuple: Tuple,
    /// Addresses and ports when it came to the hook, where NAT has rewritten them at this very hook; else `None`.
    /// Chains that run before NAT saw these.
    pub entered: Option<Tuple>,
    /// Protocol number above IP, behind any IPv6 extension headers.
    pub proto: Option<u8>,
    /// ICMP or ICMPv6 type and code.
    pub icmp: Option<(u8, u8)>,
    /// FIN, SYN, RST, PSH, ACK, URG from the lowest bit on.
    pub tcp_flags: Option<u8>,
    /// Device the packet came in by. Not looked at where a hook has none.
    pub iif: Option<String>,
    /// Device the packet is to leave by. Not looked at where a hook has none.
    pub oif: Option<String>,
    /// Bytes from the IP header on.
    pub length: Option<u32>,
    /// `skb->mark`, as it was when the packet reached the hook.
    pub mark: Option<u32>,
    /// Its conntrack entry.
    pub tracking: Tracking,
}

impl Packet {
    /// A packet of which only the headers are known.
    pub fn new(headers: &Headers) -> Self {
        let proto = match headers.proto {
            Proto::Icmp => Some(1),
            Proto::Tcp => Some(6),
            Proto::Udp => Some(17),
            Proto::Icmp6 => Some(58),
            Proto::Ip(number) => Some(number),
            Proto::Arp | Proto::Ethernet(_) => None,
        };
        let (icmp, tcp_flags) = match headers.detail {
            Detail::Icmp { kind, code, .. } => (Some((kind, code)), None),
            Detail::Tcp(segment) => (None, Some(segment.flags)),
            Detail::None | Detail::Arp { .. } => (None, None),
        };
        Self {
            tuple: headers.tuple,
            entered: None,
            proto,
            icmp,
            tcp_flags,
            iif: None,
            oif: None,
            length: None,
            mark: None,
            tracking: Tracking::Unknown,
        }
    }

    /// Whether it is IPv6.
    pub(super) fn is_ipv6(&self) -> Option<bool> {
        self.tuple.src.map(|address| address.is_ipv6())
    }

    /// The entry, if the packet has one.
    pub(super) fn entry(&self) -> Option<&Conntrack> {
        match &self.tracking {
            Tracking::Entry(entry) => Some(entry),
            Tracking::Unknown | Tracking::Invalid => None,
        }
    }

    /// `NF_CT_STATE_BIT` of the packet's state, as `ct state` and `--ctstate` compare it.
    pub(super) fn state_bits(&self) -> Option<u32> {
        match &self.tracking {
            Tracking::Unknown => None,
            Tracking::Invalid => Some(state::INVALID),
            Tracking::Entry(entry) => Some(match entry.state? {
                State::New => state::NEW,
                State::Established => state::ESTABLISHED,
                State::Related => state::RELATED,
                State::Untracked => state::UNTRACKED,
            }),
        }
    }

    /// The status bits that can be read off an entry's two tuples (`nf_nat_setup_info` sets them when a tuple changes):
    /// source rewritten, destination rewritten.
    pub(super) fn translated(&self) -> Option<(bool, bool)> {
        let entry = match &self.tracking {
            Tracking::Unknown => return None,
            Tracking::Invalid => return Some((false, false)),
            Tracking::Entry(entry) => entry,
        };
        if entry.state == Some(State::Untracked) {
            return Some((false, false));
        }
        let (orig, reply) = (entry.orig?, entry.reply?);
        Some(((orig.src, orig.sport) != (reply.dst, reply.dport), (orig.dst, orig.dport) != (reply.src, reply.sport)))
    }

    /// Whether it begins a flow, so that the nat chains see it (`nf_nat_inet_fn`).
    pub(super) fn begins_a_flow(&self) -> Option<bool> {
        self.state_bits().map(|bits| bits == state::NEW)
    }

    /// Its source or destination port.
    pub(super) fn port(&self, source: bool) -> Option<u16> {
        if source { self.tuple.sport } else { self.tuple.dport }
    }
}

/// `NF_CT_STATE_BIT(…)` of `<linux/netfilter/nf_conntrack_common.h>`.
pub(super) mod state {
    pub(crate) const INVALID: u32 = 1;
    pub(crate) const ESTABLISHED: u32 = 2;
    pub(crate) const RELATED: u32 = 4;
    pub(crate) const NEW: u32 = 8;
    pub(crate) const UNTRACKED: u32 = 64;
}
