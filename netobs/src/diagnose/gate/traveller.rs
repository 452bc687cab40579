//! The asked packet, in thought.

use std::net::{IpAddr, SocketAddr};

use super::flow::Flow;
use crate::diagnose::Protocol;
use crate::event::{Conntrack, Direction, State, Tuple};
use crate::rules::{Packet, Tracking};

// IANA protocol numbers, ICMP types, TCP flags.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const ECHO_REPLY: u8 = 0;
const ECHO: u8 = 8;
const ECHO6: u8 = 128;
const ECHO_REPLY6: u8 = 129;
const FRAGMENTATION_NEEDED: (u8, u8) = (3, 4);
const PACKET_TOO_BIG: (u8, u8) = (2, 0);
const SYN: u8 = 2;
const SYN_ACK: u8 = 0x12;

/// The asked packet, or the answer to it, somewhere on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traveller {
    pub(super) packet: Packet,
    protocol: Protocol,
    certain: bool,
    answers: bool,
}

impl Traveller {
    /// The packet as its sender makes it. The source port is not known beforehand.
    pub fn asked(protocol: Protocol, tuple: Tuple) -> Self {
        let mut own = Self { packet: empty(tuple), protocol, certain: true, answers: false };
        own.looks();
        own.enter();
        own
    }

    /// What its receiver answers: the tuple turned round.
    pub fn answer(&self) -> Self {
        let mut own = Self { packet: empty(self.packet.tuple.turned()), answers: true, ..self.clone() };
        own.looks();
        own
    }

    /// The packet where it has arrived: as it came to the namespace, and as it comes to its sockets.
    pub fn arrived(protocol: Protocol, came: Tuple, now: Tuple) -> Self {
        let mut own = Self::asked(protocol, came);
        own.packet.tuple = now;
        own
    }

    /// The ICMP message of a router to the sender of a packet that was too big: `fragmentation needed` (RFC 1191), or
    /// `packet too big` (RFC 4443).
    pub fn too_big(tuple: Tuple) -> Self {
        let mut own = Self { packet: empty(tuple), protocol: Protocol::Icmp, certain: true, answers: false };
        let ipv6 = own.is_ipv6();
        own.packet.proto = Some(if ipv6 { ICMPV6 } else { ICMP });
        own.packet.icmp = Some(if ipv6 { PACKET_TOO_BIG } else { FRAGMENTATION_NEEDED });
        own
    }

    /// Comes, as an error about a packet of a flow, to a namespace that knows the flow. `answers`: about an answer.
    pub fn relates(&mut self, flow: Flow, answers: bool) {
        let direction = if answers { Direction::Original } else { Direction::Reply };
        self.is_tracked(State::Related, direction, flow);
    }

    /// Comes to a namespace that has not seen its flow yet.
    pub fn enter(&mut self) {
        let tuple = self.packet.tuple;
        self.is_tracked(State::New, Direction::Original, Flow { orig: tuple, reply: tuple.turned() });
    }

    /// Comes to a namespace that knows its flow from when the question came by; `None` if the question did not.
    pub fn comes_back(&mut self, flow: Option<Flow>) {
        match (flow, self.protocol) {
            (Some(flow), _) => self.is_tracked(State::Established, Direction::Reply, flow),
            // Any datagram begins a flow, wherever it goes.
            (None, Protocol::Udp) => self.enter(),
            // An echo reply to no request, a SYN-ACK to no SYN (tcp_conntracks: sIV).
            (None, Protocol::Icmp | Protocol::Tcp) => self.packet.tracking = Tracking::Invalid,
        }
    }

    /// Its flow in the namespace where it is; `None` where it is not tracked, or that cannot be told.
    pub fn flow(&self) -> Option<Flow> {
        match self.packet.tracking {
            Tracking::Entry(entry) => Some(Flow { orig: entry.orig?, reply: entry.reply? }),
            Tracking::Unknown | Tracking::Invalid => None,
        }
    }

    /// Where it comes from and goes to, as it is now. `None` is what NAT may choose and nobody can tell.
    pub fn tuple(&self) -> Tuple {
        self.packet.tuple
    }

    /// Whether all its addresses are facts. Not so behind a NAT rule that it may or may not have met.
    pub fn is_certain(&self) -> bool {
        self.certain
    }

    /// `icmp`, `tcp` or `udp`.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// `the tcp packet from 10.40.0.2 to 10.40.0.3:80`, `the answer from 10.40.0.3:80 to 10.40.0.2`
    pub fn shown(&self) -> String {
        let end = |address: Option<IpAddr>, port: Option<u16>| match (address, port) {
            (Some(address), Some(port)) => SocketAddr::new(address, port).to_string(),
            (Some(address), None) => address.to_string(),
            (None, _) => "an address that cannot be told".to_owned(),
        };
        let Tuple { src, dst, sport, dport } = self.packet.tuple;
        let what = if self.answers { "answer" } else { "packet" };
        format!("the {} {what} from {} to {}", self.protocol.name(), end(src, sport), end(dst, dport))
    }

    pub(super) fn is_ipv6(&self) -> bool {
        let tuple = self.packet.tuple;
        tuple.dst.or(tuple.src).is_some_and(|address| address.is_ipv6())
    }

    /// The tuple of the question in the namespace where it is.
    pub(super) fn asking(&self) -> Tuple {
        if self.answers { self.packet.tuple.turned() } else { self.packet.tuple }
    }

    pub(super) fn is_uncertain(&mut self) {
        self.certain = false;
    }

    fn is_tracked(&mut self, state: State, direction: Direction, flow: Flow) {
        // A mark stays behind in the namespace where it was set (skb_scrub_packet).
        self.packet.mark = Some(0);
        self.packet.tracking = Tracking::Entry(Conntrack {
            state: Some(state),
            direction: Some(direction),
            orig: Some(flow.orig),
            reply: Some(flow.reply),
            zone: 0,
            mark: 0,
        });
    }

    /// Protocol, ICMP type and TCP flags of a flow's first packet, or of the answer to it.
    fn looks(&mut self) {
        let asks = !self.answers;
        let (number, icmp, flags) = match (self.protocol, self.is_ipv6()) {
            (Protocol::Icmp, false) => (ICMP, Some(if asks { ECHO } else { ECHO_REPLY }), None),
            (Protocol::Icmp, true) => (ICMPV6, Some(if asks { ECHO6 } else { ECHO_REPLY6 }), None),
            (Protocol::Tcp, _) => (TCP, None, Some(if asks { SYN } else { SYN_ACK })),
            (Protocol::Udp, _) => (UDP, None, None),
        };
        self.packet.proto = Some(number);
        self.packet.icmp = icmp.map(|kind| (kind, 0));
        self.packet.tcp_flags = flags;
    }
}

fn empty(tuple: Tuple) -> Packet {
    Packet {
        tuple,
        entered: None,
        proto: None,
        icmp: None,
        tcp_flags: None,
        iif: None,
        oif: None,
        length: None,
        mark: Some(0),
        tracking: Tracking::Unknown,
    }
}
