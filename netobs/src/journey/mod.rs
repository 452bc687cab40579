//! From events to journeys: one packet's hops in order, what was rewritten on the way, and how it ended.

mod bridge;
mod nat;
mod outcome;
mod pieces;
mod route;
mod tracker;
mod wait;

use std::sync::Arc;

use netobs_ebpf::Hook;

pub use bridge::{Asked, Bridging, Why};
pub use nat::{Rewrite, RewriteKind};
pub use outcome::{Ending, Outcome, judge};
pub use tracker::Tracker;
pub use wait::Waiting;

use crate::event::{
    Answer, Captured, Conntrack, DeviceName, DropReason, Headers, Lookup, Nested, Origin, PacketId, Part, Tuple,
};
use crate::netlink::Ifindex;
use crate::netns::NetnsInode;

/// One packet at one place.
#[derive(Clone, Debug)]
pub struct Hop {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// Where in the kernel.
    pub hook: Hook,
    /// What netfilter did with it, at one of its hooks.
    pub passage: Option<Box<Passage>>,
    /// Where it was routed to, if that is what happened here.
    pub lookup: Option<Box<Lookup>>,
    /// Namespace of the device.
    pub netns: Option<NetnsInode>,
    /// The device's index there.
    pub ifindex: Option<Ifindex>,
    /// The device's name at that moment.
    pub device: Option<DeviceName>,
    /// Bytes, Ethernet header included where there is one.
    pub length: u32,
    /// Addresses and ports as they were here.
    pub headers: Headers,
    /// The packet inside, in a tunnel or quoted by an ICMP error.
    pub nested: Option<Box<Nested>>,
    /// What a bridge decided, if it brought the packet here.
    pub bridging: Option<Box<Bridging>>,
    /// The conntrack entry it carried here; most hops share one.
    pub conntrack: Option<Arc<Conntrack>>,
}

/// A packet's way through one netfilter hook.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    /// `br_netfilter` made a bridged frame pass.
    pub is_bridged: bool,
    /// `skb->mark` when it entered.
    pub mark: u32,
    /// The device it is to leave by.
    pub output: Option<Ifindex>,
    /// What it was when everything registered there had accepted it. `None` if that was not seen.
    pub left_as: Option<Headers>,
}

/// A packet at the entry of a kernel function. There are dozens in a journey, so only what differs is kept.
#[derive(Clone, Debug)]
pub struct Step {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// Which function: the site of its row.
    pub site: u8,
    /// How many hops came before it.
    pub before_hop: u16,
    /// Namespace of the device or socket.
    pub netns: Option<NetnsInode>,
    /// The device's index there.
    pub ifindex: Option<Ifindex>,
    /// Bytes, Ethernet header included where there is one; `None` where it was not looked at.
    pub length: Option<u32>,
    /// Addresses and ports; `None` if they are those of the hop or step before.
    pub tuple: Option<Box<Tuple>>,
}

impl Journey {
    /// Addresses and ports at the step with this index.
    pub fn tuple_at_step(&self, index: usize) -> Tuple {
        let Some(step) = self.steps.get(index) else { return self.headers.tuple };
        let since_hop = self.steps.iter().take(index + 1).rev().take_while(|other| other.before_hop == step.before_hop);
        let changed = since_hop.filter_map(|step| step.tuple.as_deref()).next();
        let hop = || usize::from(step.before_hop).checked_sub(1).and_then(|hop| self.hops.get(hop));
        // What came before the first hop had no other addresses yet.
        changed.copied().unwrap_or_else(|| hop().map_or(self.headers.tuple, |hop| hop.headers.tuple))
    }
}

/// The kernel threw the packet away.
#[derive(Clone, Debug)]
pub struct Drop {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// The kernel's number for why.
    pub reason: DropReason,
    /// Return address of the call that freed it.
    pub location: Option<u64>,
    /// Namespace of the packet's device or socket.
    pub netns: Option<NetnsInode>,
    /// The packet's device.
    pub device: Option<DeviceName>,
    /// The device's index in that namespace.
    pub ifindex: Option<Ifindex>,
    /// Bytes, Ethernet header included where there is one.
    pub length: u32,
    /// Addresses and ports as they were when it died.
    pub headers: Headers,
    /// Its first bytes.
    pub captured: Option<Box<Captured>>,
    /// The conntrack entry it carried.
    pub conntrack: Option<Box<Conntrack>>,
    /// Address family of the socket that owned it.
    pub family: Option<u16>,
}

/// One packet, from where it was first seen to its end.
#[derive(Clone, Debug)]
pub struct Journey {
    /// Its identity.
    pub packet: PacketId,
    /// How it came to be followed.
    pub origin: Origin,
    /// Time of its first event.
    pub started: u64,
    /// Bytes when first seen.
    pub length: u32,
    /// What it was when first seen.
    pub headers: Headers,
    /// The packet inside, in a tunnel or quoted by an ICMP error.
    pub nested: Option<Box<Nested>>,
    /// Which part of its datagram it was when first seen, if it is IPv4.
    pub part: Option<Part>,
    /// What it was when last seen.
    pub now: Headers,
    /// What a tunnel carried when it was last seen in one; `None` if it was not in a tunnel then.
    pub carried: Option<Headers>,
    /// What the bridge that it is in knew of its address.
    pub asked: Option<Asked>,
    /// Where it was seen, in order.
    pub hops: Vec<Hop>,
    /// The functions it was handed to between the hops, in order.
    pub steps: Vec<Step>,
    /// What NAT made of it, in order.
    pub rewrites: Vec<Rewrite>,
    /// The neighbours it waited for, in order.
    pub waits: Vec<Waiting>,
    /// The ICMP error it was answered with last, and where.
    pub answered: Option<(Answer, Option<NetnsInode>)>,
    /// How many copies of it are packets of their own.
    pub copies: u32,
    /// Into how many packets it was cut, as far as they were seen.
    pub pieces: u32,
    /// A socket took it: when, and through which hook that is known.
    pub taken: Option<(u64, Hook)>,
    /// Freed after use: when, and the address it was freed from.
    pub consumed: Option<(u64, Option<u64>)>,
    /// Thrown away.
    pub dropped: Option<Drop>,
    /// Time of its last event.
    pub last: u64,
}
