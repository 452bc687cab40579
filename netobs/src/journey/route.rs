//! Routing on a packet's way: a hop for each decision, not for each table that was asked.

use super::{Hop, Journey};
use crate::event::{Event, Headers, Lookup, Tuple};

impl Journey {
    /// Takes in what a table answered. Tables are asked one after the other until one has a route that no rule suppresses:
    /// the last answer is the decision.
    pub(super) fn look_up(&mut self, event: &Event) {
        let Some(lookup) = event.lookup.as_deref() else { return };
        if let Some(hop) = self.hops.last_mut().filter(|hop| hop.is_about(event, lookup)) {
            hop.lookup = Some(Box::new(lookup.clone()));
            return;
        }
        self.hops.push(Hop {
            time: event.time,
            hook: event.hook,
            passage: None,
            lookup: Some(Box::new(lookup.clone())),
            bridging: None,
            netns: event.netns,
            ifindex: event.ifindex,
            device: event.device,
            length: self.hops.last().map_or(self.length, |hop| hop.length),
            headers: routed(self.now, lookup),
            nested: self.hops.last().and_then(|hop| hop.nested.clone()),
            conntrack: None,
        });
    }
}

impl Hop {
    /// Whether it is the same decision.
    fn is_about(&self, event: &Event, lookup: &Lookup) -> bool {
        let is_same = |earlier: &Lookup| {
            (earlier.destination, earlier.is_source_check) == (lookup.destination, lookup.is_source_check)
        };
        (self.netns, self.ifindex) == (event.netns, event.ifindex) && self.lookup.as_deref().is_some_and(is_same)
    }
}

/// What the packet was as it was routed: its destination may have been rewritten since it was seen.
fn routed(seen: Headers, lookup: &Lookup) -> Headers {
    if lookup.is_source_check || lookup.destination.is_none() || seen.tuple.dst == lookup.destination {
        return seen;
    }
    Headers { tuple: Tuple { dst: lookup.destination, dport: None, ..seen.tuple }, ..seen }
}
