//! Where on its way a packet waited for a neighbour.

use super::Journey;
use crate::event::{Wait, WaitStage};

/// A packet's time in a neighbour's queue.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Index of the first hop after it.
    pub before_hop: usize,
    /// What was last heard of it.
    pub wait: Wait,
}

impl Journey {
    /// Whether the packet lies in a neighbour's queue.
    pub(super) fn is_waiting(&self) -> bool {
        self.waits.last().is_some_and(|last| last.wait.stage == WaitStage::Queued)
    }

    /// Takes in what was heard of the wait.
    pub(super) fn wait(&mut self, wait: &Wait) {
        self.last = self.last.max(wait.time);
        let before_hop = match wait.stage {
            // The record of the hop where it was sent comes first.
            WaitStage::Sent => self.hops.len().saturating_sub(1),
            WaitStage::Queued | WaitStage::Dropped => self.hops.len(),
        };
        if self.is_waiting() {
            self.waits.pop();
        }
        self.waits.push(Waiting { before_hop, wait: wait.clone() });
    }
}
