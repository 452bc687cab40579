//! The question beforehand: what would become of a packet at a hook.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::Rules;
use super::ask::Side;
use super::course::follow;
use super::judge::Translation;
use super::packet::{InetHook, Packet, Tracking};
use super::rule::{Deed, Rule};
use super::truth::Truth;
use super::walk::{Found, Traveller};
use crate::event::{Conntrack, Direction, State, Tuple};

/// How a packet fares at a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// No rule stops it.
    Passes,
    /// It dies of one of these; mostly there is only one.
    Dropped(Vec<Rule>),
    /// It may die of one of these, or live.
    Undecided(Vec<Rule>),
}

/// A packet's address that a rule replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The rule.
    pub rule: Rule,
    /// Which end of the flow.
    pub side: Side,
    /// The ports it may choose from; `None` where it names none.
    pub ports: Option<RangeInclusive<u16>>,
    /// The packet cannot miss the rule. If it can, this is the first of those that it may meet.
    pub sure: bool,
}

/// What becomes of a packet at a hook, by the rules as they are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Whether it comes through.
    pub end: End,
    /// What NAT's rules do to it. An answer is rewritten back without any rule.
    pub rewrite: Option<Rewrite>,
    /// The packet behind the hook, as if it had come through: rewritten, marked, its entry with the new tuples.
    /// Addresses and ports that cannot be told are `None`.
    pub after: Packet,
    /// What could not be told, a line each.
    pub undecided: Vec<String>,
}

/// What a packet carries that conntrack was told to leave alone.
const UNTRACKED: Conntrack =
    Conntrack { state: Some(State::Untracked), direction: None, orig: None, reply: None, zone: 0, mark: 0 };

impl Rules {
    /// What becomes of `packet` at `hook`.
    ///
    /// Its tuple is the one it comes with, [`Packet::entered`] is not looked at. A packet whose entry is new is shown to
    /// the nat chains; any other whose entry's tuples are known is rewritten as its flow is (`nf_nat_packet`). `own` is
    /// the address that `masquerade` and `redirect` would take: that of the device the packet leaves by, or came in by.
    pub fn passes(&self, packet: &Packet, hook: InetHook, own: Option<IpAddr>) -> Passage {
        let mut packet = Packet { entered: None, ..packet.clone() };
        let before = packet.tuple;
        let walk = |packet: &Packet| follow(&self.tables, &self.places, packet, hook, false);
        let mut course = walk(&packet);
        // A rule that runs before conntrack may keep the packet from it.
        if course.traveller.untracked != Truth::No {
            let surely = course.traveller.untracked == Truth::Yes;
            packet.tracking = if surely { Tracking::Entry(UNTRACKED) } else { Tracking::Unknown };
            course = walk(&packet);
        }
        let mut rewrite = None;
        if packet.begins_a_flow() == Some(true) {
            // What dies before NAT would have met it, had it come so far.
            let nat =
                if course.survives { None } else { Some(follow(&self.tables, &self.places, &packet, hook, true)) };
            let beyond = nat.iter().flat_map(|nat| &nat.found);
            if let Some((met, to)) = course.found.iter().chain(beyond).find_map(rewriting) {
                packet.tuple = translated(before, met.side, to, hook, own);
                rewrite = Some(met);
            }
        } else if let Some(tuple) = rewritten_as_its_flow(&packet, hook) {
            packet.tuple = tuple;
        }
        if packet.tuple != before {
            packet.entered = Some(before);
            course = walk(&packet);
        }
        let mut undecided = self.problems.clone();
        let deaths: Vec<_> = course.found.into_iter().filter(|found| found.translation.is_none()).collect();
        for line in course.undecided {
            if !undecided.contains(&line) {
                undecided.push(line);
            }
        }
        let end = end(deaths, course.survives || !self.problems.is_empty());
        let after = behind(course.traveller, &packet, rewrite.is_some());
        Passage { end, rewrite, after, undecided }
    }
}

/// The rule's translation, if it is one.
fn rewriting(found: &Found) -> Option<(Rewrite, &Translation)> {
    let to = found.translation.as_ref()?;
    let side = side(to.deed)?;
    Some((Rewrite { rule: found.rule.clone(), side, ports: to.ports.clone(), sure: found.sure }, to))
}

fn end(deaths: Vec<Found>, survives: bool) -> End {
    let sure = deaths.iter().position(|found| found.sure);
    let mut rules: Vec<_> = deaths.into_iter().map(|found| found.rule).collect();
    match (sure, survives) {
        _ if rules.is_empty() => End::Passes,
        // What comes after it, it does not live to see.
        (Some(index), false) => {
            rules.truncate(index.saturating_add(1));
            End::Dropped(rules)
        }
        (None, false) => End::Dropped(rules),
        (_, true) => End::Undecided(rules),
    }
}

fn side(deed: Deed) -> Option<Side> {
    match deed {
        Deed::Snat | Deed::Masquerade => Some(Side::Source),
        Deed::Dnat | Deed::Redirect => Some(Side::Destination),
        Deed::Drop | Deed::Reject | Deed::Queue | Deed::Unknown => None,
    }
}

/// The packet behind the hook, its entry brought up to date.
fn behind(traveller: Traveller, entering: &Packet, rewritten: bool) -> Packet {
    let Traveller { mut packet, ct_mark, .. } = traveller;
    let tuple = entering.tuple;
    (packet.tuple, packet.entered) = (tuple, None);
    (packet.iif, packet.oif) = (entering.iif.clone(), entering.oif.clone());
    if let Tracking::Entry(entry) = &mut packet.tracking {
        if rewritten {
            entry.reply = Some(tuple.turned());
        }
        match ct_mark {
            Some(mark) => entry.mark = mark,
            None if entry.orig.is_some() => packet.tracking = Tracking::Unknown,
            None => {}
        }
    }
    packet
}

/// Addresses and ports as `nf_nat_setup_info` would choose them for a flow that nothing stands in the way of: the
/// first of a range of addresses, the port as it is wherever that is allowed.
fn translated(tuple: Tuple, side: Side, to: &Translation, hook: InetHook, own: Option<IpAddr>) -> Tuple {
    let (address, port) = match side {
        Side::Source => (tuple.src, tuple.sport),
        Side::Destination => (tuple.dst, tuple.dport),
    };
    let address = match (to.deed, &to.addresses) {
        (_, Some(range)) => Some(*range.start()),
        (Deed::Redirect, None) if hook == InetHook::Output => Some(loopback(tuple)),
        (Deed::Masquerade | Deed::Redirect, None) => own,
        (_, None) => address.filter(|_| to.whole),
    };
    let port = match &to.ports {
        Some(range) => within(port, range),
        None => port.filter(|_| to.whole),
    };
    match side {
        Side::Source => Tuple { src: address, sport: port, ..tuple },
        Side::Destination => Tuple { dst: address, dport: port, ..tuple },
    }
}

/// A port that lies in the range stays; of a range of one there is no other.
fn within(port: Option<u16>, range: &RangeInclusive<u16>) -> Option<u16> {
    if range.start() == range.end() { Some(*range.start()) } else { port.filter(|port| range.contains(port)) }
}

fn loopback(tuple: Tuple) -> IpAddr {
    match tuple.dst {
        Some(IpAddr::V6(_)) => std::net::Ipv6Addr::LOCALHOST.into(),
        Some(IpAddr::V4(_)) | None => std::net::Ipv4Addr::LOCALHOST.into(),
    }
}

/// `nf_nat_packet`: the destination before routing, the source behind it, to what the other direction's tuple says. The
/// addresses of an ICMP error are changed only where those of its flow are (`nf_nat_icmp_reply_translation`).
fn rewritten_as_its_flow(packet: &Packet, hook: InetHook) -> Option<Tuple> {
    let entry = packet.entry()?;
    let direction = entry.direction?;
    let other = match direction {
        Direction::Original => entry.reply?,
        Direction::Reply => entry.orig?,
    };
    let Tuple { src, dst, sport, dport } = other.turned();
    let tuple = packet.tuple;
    let (source, destination) = packet.translated()?;
    let (far, near) = match direction {
        Direction::Original => (destination, source),
        Direction::Reply => (source, destination),
    };
    Some(match (entry.state?, hook) {
        (State::New | State::Untracked, _) | (_, InetHook::Forward) => tuple,
        (State::Established, InetHook::Prerouting | InetHook::Output) => Tuple { dst, dport, ..tuple },
        (State::Established, InetHook::Input | InetHook::Postrouting) => Tuple { src, sport, ..tuple },
        (State::Related, InetHook::Prerouting | InetHook::Output) if far => Tuple { dst, ..tuple },
        (State::Related, InetHook::Input | InetHook::Postrouting) if near => Tuple { src, ..tuple },
        (State::Related, _) => tuple,
    })
}
