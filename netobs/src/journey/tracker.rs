//! Joins events to journeys, and decides when a journey is over.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use netobs_ebpf::Hook;

use super::pieces::Uncut;
use super::{Drop, Hop, Journey, Passage, Rewrite, RewriteKind, Step, nat};
use crate::event::{Call, Detail, Event, Headers, Origin, PacketId, Proto, Wait, Wrapper};
use crate::netns::NetnsInode;

/// A journey that ended may still get one event: the copy that a socket held is freed when it is read.
const SETTLE: u64 = 20_000_000;
/// A journey of which nothing is heard for so long is over.
const QUIET: u64 = 300_000_000;
/// A neighbour is asked three times, a second apart, before what waits for it is dropped: such a journey stays open.
const WAITING: u64 = 10_000_000_000;
/// Under a flood, so long must do: packets that UDP took without a word pile up otherwise.
const QUIET_IN_A_CROWD: u64 = 50_000_000;
/// Open journeys are bounded: at about 4 KiB each these are 32 MiB.
const OPEN: usize = 8192;
/// Finished journeys wait for older ones that are still open, so that people read them in order; but no more than these.
const READY: usize = 2048;
const AF_PACKET: u16 = libc::AF_PACKET as u16;

/// Open journeys, by packet.
#[derive(Debug, Default)]
pub struct Tracker {
    open: HashMap<PacketId, Journey>,
    /// Ended: when to hand them out.
    ended: BTreeSet<(u64, PacketId)>,
    /// Under way, oldest first: when to ask whether anything was heard of them.
    waiting: VecDeque<(u64, PacketId)>,
    /// Start of every open journey.
    starts: BTreeSet<(u64, PacketId)>,
    /// Over, but younger than one that is open.
    ready: BTreeMap<(u64, PacketId), Journey>,
    uncut: Uncut,
    early: u64,
}

impl Tracker {
    /// Takes one event in.
    pub fn push(&mut self, event: &Event) {
        let mut asked = None;
        let origin = event.origin.map(|origin| self.origin(event, origin));
        match origin {
            Some(Origin::Clone(parent)) => {
                if let Some(parent) = self.open.get_mut(&parent) {
                    parent.copies += 1;
                    asked = parent.asked;
                }
            }
            Some(Origin::Fragment(whole) | Origin::Segment(whole)) => {
                if let Some(whole) = self.open.get_mut(&whole) {
                    whole.pieces += 1;
                }
            }
            Some(Origin::Matched | Origin::Retransmission(_)) | None => {}
        }
        let journey = match self.open.get_mut(&event.packet) {
            Some(journey) => journey,
            None => {
                // Something more about a packet that was handed out already: only a drop is news.
                let over = event.origin.is_none();
                if over && (event.is_copy || event.hook != Hook::KfreeSkb) {
                    return;
                }
                self.waiting.push_back((event.time + QUIET, event.packet));
                self.starts.insert((event.time, event.packet));
                self.open.entry(event.packet).or_insert(Journey { asked, ..Journey::begin(event, origin) })
            }
        };
        journey.last = journey.last.max(event.time);
        let before = journey.settles();
        journey.take(event);
        if let Some(time) = journey.settles().filter(|time| before != Some(*time)) {
            self.ended.insert((event.time + time, event.packet));
        }
    }

    /// How a new packet came to be followed, by what it says of itself, too.
    fn origin(&mut self, event: &Event, origin: Origin) -> Origin {
        let cut = match origin {
            // A fragment may lie in the memory of one that was put together to what it was cut from.
            Origin::Matched | Origin::Clone(_) => self.uncut.whole_of(event, |packet| self.open.get(&packet)),
            Origin::Retransmission(_) | Origin::Fragment(_) | Origin::Segment(_) => None,
        };
        self.uncut.note(event);
        cut.unwrap_or(origin)
    }

    /// Takes in that a packet was handed to a function.
    pub fn call(&mut self, call: &Call) {
        // Handed out already: only a drop is news.
        let Some(journey) = self.open.get_mut(&call.packet) else { return };
        if call.time < journey.started {
            self.starts.remove(&(journey.started, call.packet));
            journey.started = call.time;
            self.starts.insert((journey.started, call.packet));
        }
        journey.step(call);
    }

    /// Takes in that a packet waits for a neighbour, or no longer does.
    pub fn wait(&mut self, wait: &Wait) {
        let Some(journey) = self.open.get_mut(&wait.packet) else { return };
        journey.wait(wait);
        if journey.is_waiting() {
            // Younger ones are not held back for seconds.
            self.starts.remove(&(journey.started, wait.packet));
        }
    }

    /// Journeys that are over at `now` (`CLOCK_MONOTONIC`, nanoseconds), in the order they began.
    pub fn finished(&mut self, now: u64) -> Vec<Journey> {
        while let Some((due, packet)) = self.ended.first().copied() {
            if due > now && self.open.len() <= OPEN {
                break;
            }
            self.ended.pop_first();
            self.close(packet);
        }
        while let Some((due, packet)) = self.waiting.front().copied() {
            let crowded = self.open.len() > OPEN;
            if due > now && !crowded {
                break;
            }
            self.waiting.pop_front();
            let Some(journey) = self.open.get(&packet) else { continue };
            if journey.is_over() {
                continue;
            }
            let heard_until = journey.last + if journey.is_waiting() { WAITING } else { QUIET };
            if heard_until > now && !crowded {
                // Out of order in the queue, by as much as it was heard of: it is looked at a little late.
                self.waiting.push_back((heard_until.min(now + QUIET), packet));
                continue;
            }
            self.early += u64::from(journey.last + QUIET_IN_A_CROWD > now);
            self.close(packet);
        }
        let mut finished = Vec::new();
        while let Some(entry) = self.ready.first_entry() {
            let is_oldest = self.starts.first().is_none_or(|oldest| entry.key() < oldest);
            if !is_oldest && self.ready.len() <= READY {
                break;
            }
            finished.extend(self.ready.pop_first().map(|(_, journey)| journey));
        }
        finished
    }

    fn close(&mut self, packet: PacketId) {
        if let Some(journey) = self.open.remove(&packet) {
            let key = (journey.started, packet);
            self.starts.remove(&key);
            self.ready.insert(key, journey);
        }
    }

    /// All journeys that are left, whatever state they are in.
    pub fn drain(&mut self) -> Vec<Journey> {
        let open: Vec<_> = self.open.keys().copied().collect();
        for packet in open {
            self.close(packet);
        }
        self.ended.clear();
        self.waiting.clear();
        std::mem::take(&mut self.ready).into_values().collect()
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Journeys handed out before they were over, since too many were open at once.
    pub fn cut_short(&self) -> u64 {
        self.early
    }
}

impl Journey {
    fn begin(event: &Event, origin: Option<Origin>) -> Self {
        Self {
            packet: event.packet,
            origin: origin.unwrap_or(Origin::Matched),
            started: event.time,
            length: event.length,
            headers: event.headers,
            nested: event.nested.clone(),
            part: event.part,
            now: event.headers,
            carried: carried(event),
            asked: None,
            hops: Vec::with_capacity(14),
            steps: Vec::new(),
            rewrites: Vec::new(),
            waits: Vec::new(),
            answered: None,
            copies: 0,
            pieces: 0,
            taken: None,
            consumed: None,
            dropped: None,
            last: event.time,
        }
    }

    fn is_over(&self) -> bool {
        self.taken.is_some() || self.consumed.is_some() || self.dropped.is_some()
    }

    /// How long after its end there may be more to hear of it. `None` while it is not over.
    fn settles(&self) -> Option<u64> {
        // What answers a ping through a raw socket is freed at once; whoever reads the copy may take a while to.
        let may_be_read = self.taken.is_none() && self.dropped.is_some() && self.is_echo_reply();
        self.is_over().then_some(if may_be_read { QUIET } else { SETTLE })
    }

    fn is_echo_reply(&self) -> bool {
        let reply = match self.now.proto {
            Proto::Icmp => 0,
            Proto::Icmp6 => 129,
            _ => return false,
        };
        matches!(self.now.detail, Detail::Icmp { kind, .. } if kind == reply)
    }

    fn take(&mut self, event: &Event) {
        match event.hook {
            Hook::SkbCopyDatagram | Hook::TcpProbe => {
                // A packet socket (tcpdump) reads a copy of everything; that delivers nothing.
                if event.family != Some(AF_PACKET) {
                    self.taken.get_or_insert((event.time, event.hook));
                }
            }
            Hook::ConsumeSkb | Hook::KfreeSkb if event.is_copy => {}
            Hook::ConsumeSkb => self.consumed = Some((event.time, event.location)),
            Hook::KfreeSkb => self.dropped = event.reason.map(|reason| Drop::of(event, reason)),
            Hook::NetDevQueue
            | Hook::NetDevStartXmit
            | Hook::NetifRx
            | Hook::NetifReceiveSkb
            | Hook::TcIngress
            | Hook::TcEgress => self.pass(event),
            // Recorded as calls.
            Hook::Function => {}
            // Recorded as waits. A packet may be seen there for the first time, on its way to its first hop.
            Hook::NeighCreate | Hook::NeighEventSendDone | Hook::NeighUpdate | Hook::NeighUpdateDone => {}
            Hook::FibTableLookup | Hook::Fib6TableLookup => self.look_up(event),
            Hook::IcmpSend | Hook::Icmp6Send => {
                self.answered = event.answer.map(|answer| (answer, event.netns)).or(self.answered);
            }
            Hook::NfPrerouting | Hook::NfInput | Hook::NfForward | Hook::NfOutput | Hook::NfPostrouting => {
                if event.is_leaving {
                    self.leave(event);
                } else if !self.is_sabotaged(event) {
                    self.pass(event);
                }
            }
        }
    }

    /// Completes the hop at the netfilter hook the packet leaves.
    fn leave(&mut self, event: &Event) {
        let entered = self.hops.iter_mut().rev().find(|hop| {
            hop.hook == event.hook
                && hop.netns == event.netns
                && hop.passage.as_ref().is_some_and(|passage| passage.left_as.is_none())
        });
        // A packet that was in the hook already when the programs were attached only leaves.
        let Some(hop) = entered else { return };
        if let Some(passage) = &mut hop.passage {
            passage.left_as = Some(event.headers);
        }
        // Connection tracking comes after the program that saw it enter.
        hop.conntrack = event.conntrack.map(Arc::new).or_else(|| hop.conntrack.take());
        let (netns, hook) = (hop.netns, Some(hop.hook));
        self.note_rewrites(event, |_, _| (netns, hook));
    }

    /// Compares the packet with what it was before. `place` says where that kind of change happened.
    fn note_rewrites(
        &mut self,
        event: &Event,
        place: impl Fn(&Self, RewriteKind) -> (Option<NetnsInode>, Option<Hook>),
    ) {
        let carried = carried(event);
        // To be wrapped up is no rewrite: what is compared is then the packet inside.
        let (earlier, later) = if carried.is_some() == self.carried.is_some() {
            (self.now, event.headers)
        } else {
            (self.carried.unwrap_or(self.now), carried.unwrap_or(event.headers))
        };
        self.carried = carried;
        for (kind, before, after) in nat::changes(&earlier, &later, event.conntrack.as_ref()) {
            let (netns, hook) = place(self, kind);
            self.rewrites.push(Rewrite { kind, before_hop: self.hops.len(), netns, hook, before, after });
        }
        self.now = event.headers;
    }

    /// A frame that went through PREROUTING on the bridge enters it again when it comes up to the host, and at once
    /// leaves it past everything that is registered there (`ip_sabotage_in`). Only a kprobe sees that.
    fn is_sabotaged(&self, event: &Event) -> bool {
        let mut earlier = self.hops.iter().rev().filter(|hop| !hop.hook.is_call());
        event.hook == Hook::NfPrerouting
            && event.is_bridged
            && earlier.next().is_some_and(|hop| hop.hook == Hook::NetifReceiveSkb)
            && earlier.next().is_some_and(|hop| hop.hook == Hook::NfPrerouting && hop.netns == event.netns)
    }

    /// A frame that the bridge hands up keeps the mark of `br_netfilter` when it is routed on.
    fn is_still_bridged(&self, event: &Event) -> bool {
        match event.hook {
            Hook::NfPrerouting => true,
            Hook::NfForward => event.output == event.ifindex,
            _ => {
                let earlier = self.hops.iter().rev().find(|hop| hop.hook == Hook::NfForward);
                earlier.and_then(|hop| hop.passage.as_ref()).is_some_and(|passage| passage.is_bridged)
            }
        }
    }

    fn step(&mut self, call: &Call) {
        self.last = self.last.max(call.time);
        let last = self.hops.last().map(|hop| hop.headers.tuple);
        let since = self.steps.iter().rev().take_while(|step| usize::from(step.before_hop) == self.hops.len());
        let known = since.filter_map(|step| step.tuple.as_deref().copied()).next().or(last);
        let here = call.tuple.map(|tuple| match known {
            // The ports may lie beyond what was recorded.
            Some(known) if tuple.sport.is_none() && (known.src, known.dst) == (tuple.src, tuple.dst) => known,
            _ => tuple,
        });
        let step = Step {
            time: call.time,
            site: call.site,
            before_hop: if call.is_early { 0 } else { u16::try_from(self.hops.len()).unwrap_or(u16::MAX) },
            netns: call.netns,
            ifindex: call.ifindex,
            length: call.length,
            tuple: here.filter(|here| Some(*here) != known).map(Box::new),
        };
        // The early ones come behind the first event, in order, and before all others.
        self.steps.push(step);
    }

    fn pass(&mut self, event: &Event) {
        let passage = event.hook.is_netfilter().then(|| Passage {
            is_bridged: event.is_bridged && self.is_still_bridged(event),
            mark: event.mark,
            output: event.output,
            left_as: None,
        });
        let known = self.hops.last().and_then(|hop| hop.conntrack.as_ref());
        let conntrack = event.conntrack.map(|entry| match known {
            Some(known) if **known == entry => Arc::clone(known),
            _ => Arc::new(entry),
        });
        let hop = Hop {
            time: event.time,
            hook: event.hook,
            passage: passage.map(Box::new),
            lookup: None,
            bridging: self.cross_bridge(event).map(Box::new),
            netns: event.netns,
            ifindex: event.ifindex,
            device: event.device,
            length: event.length,
            headers: event.headers,
            nested: event.nested.clone(),
            conntrack,
        };
        self.note_rewrites(event, |journey, kind| (hop.netns, nat::hook_between(&journey.hops, kind, &hop)));
        self.hops.push(hop);
    }
}

/// The headers of what a tunnel carries.
fn carried(event: &Event) -> Option<Headers> {
    let nested = event.nested.as_ref()?;
    matches!(nested.wrapper, Wrapper::Vxlan { .. }).then_some(nested.headers)
}

impl Drop {
    fn of(event: &Event, reason: crate::event::DropReason) -> Self {
        Self {
            time: event.time,
            reason,
            location: event.location,
            netns: event.netns,
            device: event.device,
            ifindex: event.ifindex,
            length: event.length,
            headers: event.headers,
            captured: event.captured.clone(),
            conntrack: event.conntrack.map(Box::new),
            family: event.family,
        }
    }
}
