//! All base chains of a hook, in the order in which the packet meets them.

use super::packet::{InetHook, Packet, Tracking};
use super::places::Places;
use super::table::{Base, Chain, Table};
use super::truth::Truth;
use super::walk::{Found, Through, Traveller, Walk};

// <linux/netfilter_ipv4.h>, the same numbers for IPv6.
const CONNTRACK: i32 = -200;
const NAT_DST: i32 = -100;
const NAT_SRC: i32 = 100;

/// What the packet may have met at a hook.
pub(super) struct Course {
    pub(super) found: Vec<Found>,
    pub(super) undecided: Vec<String>,
    /// The packet as it is behind the last chain that it came to. NAT is not applied to it.
    pub(super) traveller: Traveller,
    /// It may have come through.
    pub(super) survives: bool,
}

/// A base chain that the packet meets.
#[derive(Clone, Copy)]
struct Stop<'a> {
    table: &'a Table,
    name: &'a str,
    chain: &'a Chain,
    base: Base,
    /// When it runs. nat chains all run where NAT itself is hooked in, in the order of their own priorities among them
    /// (`nf_nat_register_fn`).
    place: (i32, i32),
}

/// What one base chain, or several of one priority, came to.
struct Passage {
    survives: bool,
    deaths: usize,
    /// A translation was met; `Some(true)` if surely.
    translated: Option<bool>,
}

/// Follows a packet through a hook's base chains; `nat_only` leaves out all that do not translate.
pub(super) fn follow(tables: &[Table], places: &Places, packet: &Packet, hook: InetHook, nat_only: bool) -> Course {
    let mut stops: Vec<_> =
        tables.iter().filter(|table| table.family.sees(packet)).flat_map(|table| stops(table, hook)).collect();
    // An empty chain is no company in which order matters.
    stops.retain(|stop| (stop.base.nat || !nat_only) && (stop.base.drops || !stop.chain.rules.is_empty()));
    stops.sort_by_key(|stop| stop.place);
    let mut packet = packet.clone();
    // nf_hook_state has no such device there; its name is compared as an empty one.
    match hook {
        InetHook::Prerouting | InetHook::Input => packet.oif = Some(String::new()),
        InetHook::Output => packet.iif = Some(String::new()),
        InetHook::Forward | InetHook::Postrouting => {}
    }
    let ct_mark = packet.entry().filter(|entry| entry.orig.is_some()).map(|entry| entry.mark);
    let mut traveller = Traveller { packet, ct_mark, untracked: Truth::No };
    let mut course = Course { found: Vec::new(), undecided: Vec::new(), traveller: traveller.clone(), survives: true };
    let (mut sure, mut sure_nat) = (true, Some(true));
    for group in stops.chunk_by(|a, b| a.place == b.place) {
        let nat = group.iter().all(|stop| stop.base.nat);
        let surely = if nat { sure_nat.map(|sure_nat| sure_nat && sure) } else { Some(sure) };
        // A flow that is translated meets no further nat chain.
        let Some(surely) = surely else { continue };
        let passage = course.abreast(group, &mut traveller, places, hook, surely);
        if !passage.survives {
            course.survives = false;
            break;
        }
        sure &= passage.deaths == 0;
        match passage.translated {
            Some(true) => sure_nat = None,
            Some(false) => sure_nat = Some(false),
            None => {}
        }
    }
    course.traveller = traveller;
    course
}

fn stops(table: &Table, hook: InetHook) -> impl Iterator<Item = Stop<'_>> {
    table.chains.iter().filter_map(move |(name, chain)| {
        let base = chain.base.filter(|base| base.hook == hook)?;
        let place = if base.nat { (nat_priority(hook), base.priority) } else { (base.priority, 0) };
        Some(Stop { table, name, chain, base, place })
    })
}

fn nat_priority(hook: InetHook) -> i32 {
    match hook {
        InetHook::Prerouting | InetHook::Output | InetHook::Forward => NAT_DST,
        InetHook::Input | InetHook::Postrouting => NAT_SRC,
    }
}

impl Course {
    /// Base chains of one priority. Which of several runs first depends on when each was added, which no tool shows.
    fn abreast(
        &mut self,
        group: &[Stop<'_>],
        traveller: &mut Traveller,
        places: &Places,
        hook: InetHook,
        sure: bool,
    ) -> Passage {
        let before = (self.found.len(), self.undecided.len());
        let entering = traveller.clone();
        let mut passage = self.each(group, traveller, places, hook, sure);
        if group.len() == 1 {
            return passage;
        }
        if *traveller != entering {
            // One may have seen what another changed: none of it is known to any of them.
            self.found.truncate(before.0);
            self.undecided.truncate(before.1);
            *traveller = entering.blurred();
            passage = self.each(group, traveller, places, hook, sure);
            *traveller = traveller.clone().blurred();
        }
        if passage.deaths > 1 {
            for found in self.found.iter_mut().skip(before.0) {
                found.sure = false;
            }
            let names: Vec<_> = group.iter().map(Stop::title).collect();
            self.undecided.push(format!(
                "which ran first of {}, all of priority {}",
                names.join(", "),
                group_priority(group)
            ));
        }
        passage
    }

    fn each(
        &mut self,
        group: &[Stop<'_>],
        traveller: &mut Traveller,
        places: &Places,
        hook: InetHook,
        sure: bool,
    ) -> Passage {
        let mut passage = Passage { survives: true, deaths: 0, translated: None };
        for stop in group {
            let (survives, found) = self.pass(stop, traveller, places, hook, sure);
            passage.survives &= survives;
            passage.deaths += usize::from(found.iter().any(|found| found.translation.is_none()));
            if let Some(translating) = found.iter().find(|found| found.translation.is_some()) {
                passage.translated = Some(translating.sure && group.len() == 1);
            }
            self.found.extend(found);
        }
        passage
    }

    /// One base chain: whether the packet may live on, and what it may have met.
    fn pass(
        &mut self,
        stop: &Stop<'_>,
        traveller: &mut Traveller,
        places: &Places,
        hook: InetHook,
        sure: bool,
    ) -> (bool, Vec<Found>) {
        let begins = if stop.base.nat { traveller.packet.begins_a_flow() } else { Some(true) };
        if begins == Some(false) {
            return (true, Vec::new());
        }
        let sure = sure && begins == Some(true);
        let mut seen = traveller.clone();
        if let Some(entered) = seen.packet.entered
            && stop.place.0 <= nat_priority(hook)
        {
            seen.packet.tuple = entered;
        }
        // Before conntrack only a packet on loopback may have its entry already.
        let before_conntrack = stop.place.0 <= CONNTRACK && matches!(hook, InetHook::Prerouting | InetHook::Output);
        if before_conntrack {
            seen.packet.tracking = Tracking::Unknown;
            seen.ct_mark = None;
        }
        let tuple = seen.packet.tuple;
        let mut walk = Walk::new(seen, places);
        let through = walk.chain(stop.table, stop.name, stop.chain, sure, 0);
        let drops = stop.base.drops && through != Through::Never;
        if drops {
            let rule = stop.table.show_policy(stop.name);
            walk.found.push(Found { rule, sure: sure && through == Through::Always, translation: None });
        }
        let after = walk.traveller.packet;
        traveller.packet.mark = after.mark;
        if before_conntrack {
            traveller.untracked = walk.traveller.untracked;
        } else {
            traveller.ct_mark = walk.traveller.ct_mark;
        }
        if after.tuple != tuple {
            traveller.packet.tuple = after.tuple;
            traveller.packet.entered = None;
            (traveller.packet.icmp, traveller.packet.tcp_flags) = (after.icmp, after.tcp_flags);
        }
        if begins.is_none() && !walk.found.is_empty() {
            self.undecided.push(format!("whether the packet begins a flow, which alone comes to {}", stop.title()));
        }
        self.undecided.extend(walk.undecided);
        let survives = walk.accepted || begins.is_none() || (through != Through::Never && !stop.base.drops);
        (survives, walk.found)
    }
}

impl Stop<'_> {
    fn title(&self) -> String {
        format!("{} {} {}", self.table.family.name(), self.table.name, self.name)
    }
}

fn group_priority(group: &[Stop<'_>]) -> i32 {
    group.first().map_or(0, |stop| stop.base.priority)
}
