//! The port that the sender's kernel is going to choose.

use crate::event::Tuple;
use crate::rules::{End, Packet, Passage, Rule, Tracking};

/// The first and the last of those it may choose (`ip_local_port_range`). A rule that is about only some of them is
/// undecided.
const CHOSEN: [u16; 2] = [32_768, 60_999];

/// Asks with the lowest and the highest port in the place of one that is not known.
pub(super) fn ask(packet: &Packet, ask: impl Fn(&Packet) -> Passage) -> Passage {
    let [low, high] = CHOSEN.map(|port| {
        // A port that the packet has already could not be told from it.
        let known = [packet.tuple.sport, packet.tuple.dport];
        let port = (port..=u16::MAX).find(|port| !known.contains(&Some(*port))).unwrap_or(port);
        let mut passage = ask(&each(packet, |known| known.or(Some(port))));
        passage.after = each(&passage.after, |known| known.filter(|known| *known != port));
        passage
    });
    if (&low.end, &low.rewrite, &low.after) == (&high.end, &high.rewrite, &high.after) {
        return low;
    }
    let mut either = low;
    let mut rules = deaths(&either.end).to_vec();
    rules.extend(deaths(&high.end).iter().filter(|rule| !deaths(&either.end).contains(rule)).cloned());
    let both_die = [&either.end, &high.end].iter().all(|end| matches!(end, End::Dropped(_)));
    either.end = match (rules.is_empty(), both_die) {
        (true, _) => End::Passes,
        (false, true) => End::Dropped(rules),
        (false, false) => End::Undecided(rules),
    };
    if either.rewrite != high.rewrite {
        either.rewrite = either.rewrite.or(high.rewrite);
        if let Some(rewrite) = &mut either.rewrite {
            rewrite.sure = false;
        }
    }
    either.undecided.push("which source port the sender will choose".to_owned());
    either
}

fn deaths(end: &End) -> &[Rule] {
    match end {
        End::Passes => &[],
        End::Dropped(rules) | End::Undecided(rules) => rules,
    }
}

/// The packet with each port changed that was the sender's to choose.
fn each(packet: &Packet, change: impl Fn(Option<u16>) -> Option<u16>) -> Packet {
    let both = |tuple: Tuple| Tuple { sport: change(tuple.sport), dport: change(tuple.dport), ..tuple };
    let mut packet = Packet { tuple: both(packet.tuple), ..packet.clone() };
    if let Tracking::Entry(entry) = &mut packet.tracking {
        (entry.orig, entry.reply) = (entry.orig.map(both), entry.reply.map(both));
    }
    packet
}
