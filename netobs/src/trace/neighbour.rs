//! A wait for a neighbour told in names.

use crate::event::{WaitStage, WaitState};
use crate::journey::Waiting;
use crate::output::NeighbourRecord;

/// `netns` is the name of the neighbour's namespace, `before_hop` the place in the list of hops that is printed.
pub(super) fn neighbour(waiting: &Waiting, netns: Option<String>, before_hop: usize) -> NeighbourRecord {
    let wait = &waiting.wait;
    let is_over = wait.stage != WaitStage::Queued;
    NeighbourRecord {
        address: wait.address.map(|address| address.to_string()),
        device: wait.device.map(|device| device.to_string_lossy()),
        ifindex: wait.ifindex.map(|ifindex| ifindex.0),
        netns,
        netns_inode: wait.netns.map(|netns| netns.0),
        outcome: match wait.state {
            WaitState::Known => "answered",
            WaitState::Asked => "pending",
            WaitState::Failed => "failed",
            WaitState::Removed => "removed",
        },
        waited_ns: wait.since.filter(|_| is_over).map(|since| wait.time.saturating_sub(since)),
        mac: wait.link_address.map(|mac| mac.to_string()),
        probes: wait.probes,
        before_hop,
    }
}
