//! The conntrack entry a packet carries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::header::Tuple;

/// Where the running kernel keeps the parts of a `struct nf_conntrack_tuple`, and the numbers of its enums.
///
/// Offsets are in bytes from the start of the tuple.
#[derive(Clone, Copy, Debug)]
pub struct ConntrackLayout {
    /// `src.u3`
    pub src_address: usize,
    /// `src.u`
    pub src_port: usize,
    /// `src.l3num`
    pub l3_protocol: usize,
    /// `dst.u3`
    pub dst_address: usize,
    /// `dst.u`
    pub dst_port: usize,
    /// `dst.protonum`
    pub l4_protocol: usize,
    /// `IP_CT_ESTABLISHED`
    pub established: u8,
    /// `IP_CT_RELATED`
    pub related: u8,
    /// `IP_CT_NEW`
    pub new: u8,
    /// `IP_CT_ESTABLISHED_REPLY`
    pub established_reply: u8,
    /// `IP_CT_RELATED_REPLY`
    pub related_reply: u8,
    /// `IP_CT_UNTRACKED`
    pub untracked: u8,
}

/// How a packet relates to its flow, by the name `iptables -m conntrack --ctstate` has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The first packet of a flow.
    New,
    /// The flow has seen packets both ways, or this one answers it.
    Established,
    /// Belongs to another flow: an ICMP error, an expected connection.
    Related,
    /// A rule said not to track it.
    Untracked,
}

impl State {
    /// The name used in JSON and text.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Related => "related",
            Self::Untracked => "untracked",
        }
    }
}

/// Which way of its flow a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The way the flow began.
    Original,
    /// The answer's way.
    Reply,
}

/// A packet's conntrack entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conntrack {
    /// `None` if the kernel's number is unknown to us.
    pub state: Option<State>,
    /// `None` for an untracked packet.
    pub direction: Option<Direction>,
    /// Tuple of the direction the flow began in; `None` for an untracked packet.
    pub orig: Option<Tuple>,
    /// Tuple the answer is expected to have.
    pub reply: Option<Tuple>,
    /// Conntrack zone.
    pub zone: u16,
    /// Conntrack mark.
    pub mark: u32,
}

impl Conntrack {
    /// Reads the record that the programs made.
    pub fn decode(record: &netobs_ebpf::Conntrack, layout: &ConntrackLayout) -> Self {
        let info = record.info;
        let (state, direction) = match info {
            _ if info == layout.new => (Some(State::New), Some(Direction::Original)),
            _ if info == layout.established => (Some(State::Established), Some(Direction::Original)),
            _ if info == layout.related => (Some(State::Related), Some(Direction::Original)),
            _ if info == layout.established_reply => (Some(State::Established), Some(Direction::Reply)),
            _ if info == layout.related_reply => (Some(State::Related), Some(Direction::Reply)),
            _ if info == layout.untracked => (Some(State::Untracked), None),
            _ => (None, None),
        };
        Self {
            state,
            direction,
            orig: tuple(&record.orig, layout),
            reply: tuple(&record.reply, layout),
            zone: record.zone,
            mark: record.mark,
        }
    }
}

fn tuple(words: &[u64; 5], layout: &ConntrackLayout) -> Option<Tuple> {
    let mut bytes = [0; 40];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    let family = i32::from(u16::from_ne_bytes(take(&bytes, layout.l3_protocol)?));
    let address = |offset| match family {
        libc::AF_INET => Some(IpAddr::V4(Ipv4Addr::from(take::<4>(&bytes, offset)?))),
        libc::AF_INET6 => Some(IpAddr::V6(Ipv6Addr::from(take::<16>(&bytes, offset)?))),
        _ => None,
    };
    let protocol = i32::from(*bytes.get(layout.l4_protocol)?);
    // The same two bytes hold ports, an ICMP id, or a GRE key.
    let has_ports = [libc::IPPROTO_TCP, libc::IPPROTO_UDP, libc::IPPROTO_SCTP, libc::IPPROTO_DCCP].contains(&protocol);
    let port = |offset| has_ports.then(|| take(&bytes, offset).map(u16::from_be_bytes)).flatten();
    Some(Tuple {
        src: Some(address(layout.src_address)?),
        dst: Some(address(layout.dst_address)?),
        sport: port(layout.src_port),
        dport: port(layout.dst_port),
    })
}

fn take<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}
