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
        if self.waits.last().is_some_and(|last| is_the_end_of(&last.wait, wait)) {
            return;
        }
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

/// Whether what was told is the end of the wait of which another CPU tells only now that it began.
fn is_the_end_of(told: &Wait, wait: &Wait) -> bool {
    wait.stage == WaitStage::Queued
        && told.stage != WaitStage::Queued
        && wait.since.is_some()
        && told.since == wait.since
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{PacketId, WaitState};

    fn wait(stage: WaitStage, since: u64) -> Wait {
        Wait {
            time: since + 10,
            packet: PacketId(1),
            since: (since != 0).then_some(since),
            stage,
            state: WaitState::Asked,
            netns: None,
            ifindex: None,
            device: None,
            address: None,
            link_address: None,
            probes: None,
        }
    }

    #[test]
    fn a_wait_that_is_over_does_not_begin() {
        let over = |stage, since| is_the_end_of(&wait(stage, since), &wait(WaitStage::Queued, 5));
        assert!(over(WaitStage::Sent, 5) && over(WaitStage::Dropped, 5));
        // For another neighbour, earlier; or of which no more is known than that it waited.
        assert!(!over(WaitStage::Sent, 3) && !over(WaitStage::Sent, 0) && !over(WaitStage::Queued, 5));
    }
}
