//! How a packet's journey ended, by what was seen and by what was not.

use netobs_ebpf::Hook;

use super::{Drop, Hop, Journey};

/// How it ended, in the contract's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A socket took it, or the kernel itself (ICMP, ARP).
    Delivered,
    /// The kernel threw it away.
    Dropped,
    /// It left through a device whose other end is not on this machine.
    Left,
    /// Only copies or pieces of it went on.
    ClonedAway,
    /// What was seen does not tell.
    Unknown,
}

impl Outcome {
    /// The name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Dropped => "dropped",
            Self::Left => "left",
            Self::ClonedAway => "cloned-away",
            Self::Unknown => "unknown",
        }
    }
}

/// What of the machine's state the end of a journey depends on.
pub trait Ending {
    /// Whether the hop's namespace has the packet's destination address; `None` if that cannot be told.
    fn is_local(&mut self, hop: &Hop) -> Option<bool>;
    /// Whether the hop's device leads off this machine.
    fn is_hardware(&mut self, hop: &Hop) -> Option<bool>;
    /// Whether what passes for a drop is how the kernel frees what it took in.
    fn is_taken(&mut self, journey: &Journey, drop: &Drop) -> bool;
    /// Whether what passes for a drop is the end of memory only: the packet had become part of another, which was freed.
    fn is_remainder(&mut self, drop: &Drop) -> bool;
    /// Whether the packet was freed since another took its data in: the datagram it is a fragment of.
    fn is_reassembly(&mut self, location: Option<u64>) -> bool;
    /// Whether the packet was freed by the bridge after it had sent copies on.
    fn is_bridge(&mut self, location: Option<u64>) -> bool;
    /// Events were lost while the packet was under way, so that absence proves nothing.
    fn lost_events(&mut self) -> bool;
}

/// Whether the hop is a device the packet leaves by.
fn is_sent(hop: &Hop) -> bool {
    matches!(hop.hook, Hook::NetDevQueue | Hook::NetDevStartXmit | Hook::TcEgress)
}

/// Judges a journey that has ended, or of which nothing more was heard.
pub fn judge(journey: &Journey, state: &mut impl Ending) -> Outcome {
    if journey.taken.is_some() {
        return Outcome::Delivered;
    }
    let last = journey.hops.last();
    let on_a_device = journey.hops.iter().rev().find(|hop| !hop.hook.is_call());
    let arrived = on_a_device.is_some_and(|hop| {
        matches!(hop.hook, Hook::NetifReceiveSkb | Hook::TcIngress | Hook::NfPrerouting | Hook::NfInput)
    });
    let dropped = journey.dropped.as_ref().filter(|drop| !state.is_remainder(drop));
    if let Some(drop) = dropped {
        return if arrived && state.is_taken(journey, drop) { Outcome::Delivered } else { Outcome::Dropped };
    }
    if journey.pieces > 0 {
        return Outcome::ClonedAway;
    }
    let Some(last) = last else { return Outcome::Unknown };
    // Connection tracking puts datagrams together in PREROUTING, and what becomes of them comes later.
    let is_fragment = journey.part.is_some_and(|part| part.is_fragment());
    let defragmented = is_fragment && on_a_device.is_some_and(|hop| hop.hook == Hook::NfPrerouting);
    let off_the_machine = is_sent(last) && state.is_hardware(last) == Some(true);
    if let Some((_, location)) = journey.consumed {
        if off_the_machine {
            return Outcome::Left;
        }
        if journey.copies > 0 && (is_sent(last) || state.is_bridge(location)) {
            return Outcome::ClonedAway;
        }
        if state.is_reassembly(location) && (defragmented || state.is_local(last) != Some(true)) {
            return Outcome::ClonedAway;
        }
        return if arrived { Outcome::Delivered } else { Outcome::Unknown };
    }
    // TCP frees most of what it takes without a word, and since 6.18 so does UDP.
    if state.lost_events() {
        return Outcome::Unknown;
    }
    if off_the_machine {
        return Outcome::Left;
    }
    if defragmented && journey.copies > 0 {
        return Outcome::ClonedAway;
    }
    match state.is_local(last) {
        Some(true) if arrived && !defragmented => Outcome::Delivered,
        _ => Outcome::Unknown,
    }
}
