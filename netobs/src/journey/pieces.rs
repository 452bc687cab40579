//! Packets that the stack cut into pieces: IPv4 fragments, TCP segments.
//!
//! A piece is a packet of its own, in memory of its own, that nothing in the kernel ties to what it was cut from. What it
//! says of itself does: a fragment its IP id and its place in the datagram, a segment its place in the stream.

use std::collections::VecDeque;

use netobs_ebpf::Hook;

use super::{Hop, Journey};
use crate::event::{Detail, Event, Origin, PacketId, Tuple};

/// What is no longer than this is cut by no link of today.
const SHORT: u32 = 576;
/// How many packets are kept in mind: a packet is cut within microseconds of having been seen.
const KEPT: usize = 256;

/// The packets that were seen last of those that may be cut.
#[derive(Debug, Default)]
pub(super) struct Uncut(VecDeque<PacketId>);

impl Uncut {
    /// A new packet was seen.
    pub(super) fn note(&mut self, event: &Event) {
        if event.length <= SHORT {
            return;
        }
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(event.packet);
    }

    /// What the new packet was cut from. `None` if nothing fits, or more than one packet does.
    pub(super) fn whole_of<'j>(
        &self,
        event: &Event,
        journey: impl Fn(PacketId) -> Option<&'j Journey>,
    ) -> Option<Origin> {
        let may_be_piece = match event.hook {
            Hook::NetDevQueue => event.part.is_some_and(|part| part.is_fragment()),
            Hook::NetDevStartXmit => event.headers.detail.segment().is_some(),
            _ => false,
        };
        if !may_be_piece {
            return None;
        }
        let fits = |journey: &&Journey| journey.was_cut_into(event);
        let mut wholes = self.0.iter().rev().filter_map(|packet| journey(*packet)).filter(fits);
        let whole = wholes.next().filter(|_| wholes.next().is_none())?.packet;
        Some(if event.hook == Hook::NetDevQueue { Origin::Fragment(whole) } else { Origin::Segment(whole) })
    }
}

impl Journey {
    fn was_cut_into(&self, event: &Event) -> bool {
        let Some(last) = self.hops.iter().rev().find(|hop| !hop.hook.is_call()) else { return false };
        if last.netns != event.netns || self.taken.is_some() || self.dropped.is_some() {
            return false;
        }
        match event.hook {
            Hook::NetDevQueue => self.was_fragmented_into(last, event),
            _ => self.was_segmented_into(last, event),
        }
    }

    /// Before it came to a device; behind NAT, if there is any.
    fn was_fragmented_into(&self, last: &Hop, event: &Event) -> bool {
        let is_at_device = matches!(last.hook, Hook::NetDevQueue | Hook::NetDevStartXmit | Hook::TcEgress);
        let (Some(whole), Some(part)) = (self.part, event.part) else { return false };
        let addresses = |tuple: Tuple| (tuple.src, tuple.dst);
        !is_at_device
            && part.is_of(&whole)
            && self.headers.proto == event.headers.proto
            && addresses(self.tuple_now()) == addresses(event.headers.tuple)
    }

    /// Between the stack and the driver of a device that cannot do it, which is the end of the packet itself
    /// (`validate_xmit_skb`).
    fn was_segmented_into(&self, last: &Hop, event: &Event) -> bool {
        let is_at_device = matches!(last.hook, Hook::NetDevQueue | Hook::TcEgress) && last.ifindex == event.ifindex;
        let Some((whole, piece)) = last.headers.detail.segment().zip(event.headers.detail.segment()) else {
            return false;
        };
        // Both have the same headers in front.
        let end = piece.seq.wrapping_sub(whole.seq).saturating_add(event.length);
        is_at_device
            && self.consumed.is_some()
            && last.headers.tuple == event.headers.tuple
            && event.length < last.length
            && end <= last.length
    }

    /// Addresses and ports where it was seen last, functions included.
    fn tuple_now(&self) -> Tuple {
        let is_newer = self.steps.last().is_some_and(|step| usize::from(step.before_hop) >= self.hops.len());
        if is_newer { self.tuple_at_step(self.steps.len().saturating_sub(1)) } else { self.now.tuple }
    }
}

impl Detail {
    fn segment(&self) -> Option<&crate::event::TcpSegment> {
        match self {
            Self::Tcp(segment) => Some(segment),
            _ => None,
        }
    }
}
