//! Flows, as the namespaces on a way keep them.

use std::collections::HashMap;

use crate::event::Tuple;
use crate::netns::NetnsInode;

/// A flow as a namespace's conntrack has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The tuple with which it came.
    pub orig: Tuple,
    /// The tuple that its answer will have.
    pub reply: Tuple,
}

/// What each namespace knows of the question. One that it passed twice, such as a container that asks for its own
/// published port, knows two flows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flows(HashMap<NetnsInode, Vec<Flow>>);

impl Flows {
    /// Remembers a flow.
    pub fn insert(&mut self, netns: NetnsInode, flow: Flow) {
        self.0.entry(netns).or_default().push(flow);
    }

    /// The flow that a packet with this tuple answers there: the one that came last.
    pub fn answered(&self, netns: NetnsInode, tuple: Tuple) -> Option<Flow> {
        self.0.get(&netns)?.iter().rev().find(|flow| agree(flow.reply, tuple)).copied()
    }
}

/// Whether two tuples may be the same, as far as they are known.
fn agree(one: Tuple, other: Tuple) -> bool {
    fn same<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
        one.is_none() || other.is_none() || one == other
    }
    same(one.src, other.src) && same(one.dst, other.dst) && same(one.sport, other.sport) && same(one.dport, other.dport)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn an_answer_finds_its_own_flow() {
        let ip = |last: u8| Some(IpAddr::from([10, 0, 0, last]));
        let tuple = |src, dst, dport| Tuple { src: ip(src), dst: ip(dst), sport: None, dport: Some(dport) };
        let (sent, received) = (tuple(2, 9, 8080), tuple(1, 2, 80));
        let mut flows = Flows::default();
        let netns = NetnsInode(1);
        for orig in [sent, received] {
            flows.insert(netns, Flow { orig, reply: orig.turned() });
        }
        assert_eq!(flows.answered(netns, sent.turned()).map(|flow| flow.orig), Some(sent));
        assert_eq!(flows.answered(netns, received.turned()).map(|flow| flow.orig), Some(received));
        assert_eq!(flows.answered(netns, tuple(2, 9, 8080)), None);
        assert_eq!(flows.answered(NetnsInode(2), sent.turned()), None);
    }
}
