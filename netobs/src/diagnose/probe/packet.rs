//! Which of the packets that were seen are part of the exchange that is asked about.

use crate::event::{Detail, Headers, Proto, Tuple, Wrapper};
use crate::journey::Journey;
use crate::output::PacketRecord;

use super::super::{Protocol, Question};

/// What a packet has to do with the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is the packet that is asked about, or one more of the same flow.
    Asked,
    /// It goes the other way.
    Answer,
    /// An ICMP error about one of the flow's packets.
    Error,
    /// Somebody asks for, or tells, a link-layer address: ARP or neighbour discovery.
    Neighbour,
}

/// One packet of the exchange.
#[derive(Clone, Debug)]
pub struct Packet {
    /// What it has to do with the question.
    pub role: Role,
    /// Of which attempt, in the order they were made.
    pub flow: usize,
    /// Its journey in names.
    pub record: PacketRecord,
    /// `CLOCK_MONOTONIC` of its first event, nanoseconds.
    pub started: u64,
    /// Bytes, as they were when it was first seen, without an Ethernet header.
    pub length: u32,
}

/// A flow as it is called at one place: NAT gives it other names elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    tuple: Tuple,
    echo: Option<u16>,
}

impl Name {
    fn of(headers: &Headers) -> Self {
        let echo = match headers.detail {
            Detail::Icmp { echo: Some((identifier, _)), .. } => Some(identifier),
            _ => None,
        };
        Self { tuple: headers.tuple, echo }
    }

    fn turned(self) -> Self {
        let Tuple { src, dst, sport, dport } = self.tuple;
        Self { tuple: Tuple { src: dst, dst: src, sport: dport, dport: sport }, echo: self.echo }
    }
}

/// The flow that is asked about, by all the names it was seen under.
pub(super) struct Flow {
    proto: Proto,
    out: Vec<Name>,
    back: Vec<Name>,
    identity: u16,
    question: Question,
}

impl Flow {
    pub(super) fn new(question: &Question, identity: u16) -> Self {
        let proto = match (question.protocol, question.to.is_ipv4()) {
            (Protocol::Icmp, true) => Proto::Icmp,
            (Protocol::Icmp, false) => Proto::Icmp6,
            (Protocol::Tcp, _) => Proto::Tcp,
            (Protocol::Udp, _) => Proto::Udp,
        };
        Self { proto, out: Vec::new(), back: Vec::new(), identity, question: question.clone() }
    }

    /// What a packet has to do with the flow; `None` if nothing. Packets are to be asked about in the order in which
    /// they began: what one was rewritten to is how the next is known.
    pub(super) fn role(&mut self, journey: &Journey) -> Option<Role> {
        let name = Name::of(&journey.headers);
        match journey.headers.proto {
            Proto::Arp => return Some(Role::Neighbour),
            Proto::Icmp6 if is_discovery(&journey.headers) => return Some(Role::Neighbour),
            Proto::Icmp | Proto::Icmp6 => {
                let about =
                    journey.nested.as_ref().filter(|nested| matches!(nested.wrapper, Wrapper::IcmpError { .. }));
                if let Some(nested) = about {
                    let quoted = Name::of(&nested.headers);
                    let is_ours = nested.headers.proto == self.proto && self.knows(quoted);
                    return is_ours.then_some(Role::Error);
                }
            }
            Proto::Tcp | Proto::Udp | Proto::Ip(_) | Proto::Ethernet(_) => {}
        }
        if journey.headers.proto != self.proto {
            return None;
        }
        let role = if self.is_asked(&journey.headers, name) {
            Role::Asked
        } else if self.back.contains(&name) || self.out.contains(&name.turned()) {
            Role::Answer
        } else if self.out.contains(&name) || self.back.contains(&name.turned()) {
            Role::Asked
        } else {
            return None;
        };
        self.learn(journey, role);
        Some(role)
    }

    fn is_asked(&self, headers: &Headers, name: Name) -> bool {
        let is_ours = match headers.detail {
            Detail::Icmp { kind: 8 | 128, .. } => name.echo == Some(self.identity),
            Detail::Icmp { .. } => false,
            Detail::Tcp(_) | Detail::None => {
                name.tuple.sport == Some(self.identity) && name.tuple.dport == self.question.port
            }
            Detail::Arp { .. } => false,
        };
        is_ours && name.tuple.dst == Some(self.question.to)
    }

    fn knows(&self, name: Name) -> bool {
        [name, name.turned()].iter().any(|name| self.out.contains(name) || self.back.contains(name))
    }

    fn learn(&mut self, journey: &Journey, role: Role) {
        let names = if role == Role::Asked { &mut self.out } else { &mut self.back };
        for headers in journey.hops.iter().map(|hop| &hop.headers).chain([&journey.headers, &journey.now]) {
            let name = Name::of(headers);
            if headers.proto == self.proto && !names.contains(&name) {
                names.push(name);
            }
        }
    }
}

fn is_discovery(headers: &Headers) -> bool {
    matches!(headers.detail, Detail::Icmp { kind: 133..=137, .. })
}
