//! `-m conntrack` and `-m state`.

use super::condition::address;
use super::number::in_span;
use crate::event::{Direction, State};
use crate::rules::packet::{Packet, Tracking, state as bits};
use crate::rules::protocol;
use crate::rules::truth::Truth;

/// `--ctstate LIST` (`conntrack_mt`): the packet's state, or what was rewritten.
pub(super) fn state(packet: &Packet, list: &str) -> Truth {
    let is = |bit| packet.state_bits().map(|state| state & bit != 0).into();
    Truth::any(list.split(',').map(|name| match name {
        "INVALID" => is(bits::INVALID),
        "NEW" => is(bits::NEW),
        "ESTABLISHED" => is(bits::ESTABLISHED),
        "RELATED" => is(bits::RELATED),
        "UNTRACKED" => is(bits::UNTRACKED),
        "SNAT" => packet.translated().map(|(source, _)| source).into(),
        "DNAT" => packet.translated().map(|(_, destination)| destination).into(),
        _ => Truth::CannotTell,
    }))
}

/// The other options, which ask for the packet's entry.
pub(super) fn entry(packet: &Packet, name: &str, value: &str) -> Truth {
    let Tracking::Entry(entry) = &packet.tracking else { return Truth::CannotTell };
    if entry.state == Some(State::Untracked) {
        return Truth::CannotTell;
    }
    let port = |port: Option<u16>| in_span(port.map(u32::from), value);
    let (orig, reply) = (entry.orig, entry.reply);
    match name {
        "--ctdir" => entry
            .direction
            .and_then(|direction| match value {
                "ORIGINAL" => Some(direction == Direction::Original),
                "REPLY" => Some(direction == Direction::Reply),
                _ => None,
            })
            .into(),
        // An entry's protocol is that of its packets, but for an ICMP error about one of them.
        "--ctproto" if entry.state != Some(State::Related) => {
            packet.proto.zip(protocol::number(value)).map(|(one, other)| one == other).into()
        }
        "--ctorigsrc" => address(orig.and_then(|tuple| tuple.src), value).into(),
        "--ctorigdst" => address(orig.and_then(|tuple| tuple.dst), value).into(),
        "--ctreplsrc" => address(reply.and_then(|tuple| tuple.src), value).into(),
        "--ctrepldst" => address(reply.and_then(|tuple| tuple.dst), value).into(),
        "--ctorigsrcport" => port(orig.and_then(|tuple| tuple.sport)).into(),
        "--ctorigdstport" => port(orig.and_then(|tuple| tuple.dport)).into(),
        "--ctreplsrcport" => port(reply.and_then(|tuple| tuple.sport)).into(),
        "--ctrepldstport" => port(reply.and_then(|tuple| tuple.dport)).into(),
        _ => Truth::CannotTell,
    }
}
