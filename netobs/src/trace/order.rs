//! Hops and the steps between them, as one list.

use crate::journey::{Journey, Rewrite};

/// Where in a journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The hop with this index.
    Hop(usize),
    /// The step with this index.
    Step(usize),
}

/// Every hop and step, in the order they were passed.
pub(super) struct Order(Vec<Place>);

impl Order {
    pub(super) fn of(journey: &Journey) -> Self {
        let mut places = Vec::with_capacity(journey.hops.len() + journey.steps.len());
        let mut steps = journey.steps.iter().enumerate().peekable();
        for hop in 0..=journey.hops.len() {
            while let Some((step, _)) = steps.next_if(|(_, step)| usize::from(step.before_hop) <= hop) {
                places.push(Place::Step(step));
            }
            if hop < journey.hops.len() {
                places.push(Place::Hop(hop));
            }
        }
        Self(places)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Place> {
        self.0.iter()
    }

    /// Where a hop is in the list; the list's end for one that there is not.
    pub(super) fn of_hop(&self, hop: usize) -> usize {
        self.0.iter().position(|place| *place == Place::Hop(hop)).unwrap_or(self.0.len())
    }

    /// Where the first hop or step is that came after this time.
    pub(super) fn after(&self, journey: &Journey, time: u64) -> usize {
        let is_later = |place: &Place| match place {
            Place::Hop(hop) => journey.hops.get(*hop).is_some_and(|hop| hop.time > time),
            Place::Step(step) => journey.steps.get(*step).is_some_and(|step| step.time > time),
        };
        self.0.iter().position(is_later).unwrap_or(self.0.len())
    }

    /// Where the first hop or step is that shows what a rewrite made of the packet.
    pub(super) fn rewritten_before(&self, journey: &Journey, rewrite: &Rewrite) -> usize {
        let hop = self.of_hop(rewrite.before_hop);
        let is_after = |place: &&Place| match place {
            Place::Hop(_) => false,
            Place::Step(step) => journey.tuple_at_step(*step) == rewrite.after,
        };
        hop - self.0.iter().take(hop).rev().take_while(is_after).count()
    }
}
