//! What a way is made of.

use std::net::IpAddr;

use serde::Serialize;

use crate::diagnose::{Finding, Step};
use crate::event::Tuple;
use crate::netlink::Ifindex;
use crate::netns::NetnsInode;

/// A device on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Its number in its namespace.
    pub ifindex: Ifindex,
    /// Its name there.
    pub name: String,
    /// In bytes, without the link-layer header.
    pub mtu: u32,
}

/// How a packet passes a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Passage {
    /// It is made here: OUTPUT, POSTROUTING.
    Sent,
    /// It is routed here: PREROUTING, FORWARD, POSTROUTING.
    Forwarded,
    /// It only crosses a bridge: the same, if `net.bridge.bridge-nf-call-iptables` says so.
    Bridged,
    /// It is for somebody here: PREROUTING, INPUT.
    Received,
}

/// A namespace on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Which.
    pub netns: NetnsInode,
    /// Its name.
    pub name: String,
    /// How the packet passes it.
    pub passage: Passage,
    /// The device that the packet comes in by, as IP sees it: a bridge and not its port. `None` where it is made. Of a
    /// bridged packet, the port.
    pub input: Option<Device>,
    /// The devices below it by which it really comes, in the order of their passing: a bridge's port, what a VLAN sits on.
    pub below_input: Vec<Device>,
    /// The device that the packet leaves by, as IP sees it. `None` where it ends. Of a bridged packet, the port.
    pub output: Option<Device>,
    /// The devices below it by which it really leaves, in the order of their passing.
    pub below_output: Vec<Device>,
    /// Of a bridged packet: the bridge.
    pub bridge: Option<Device>,
    /// Addresses and ports as the packet comes in.
    pub tuple_in: Tuple,
    /// The same as it leaves.
    pub tuple_out: Tuple,
    /// To whom it is sent on the link that it leaves by.
    pub next_hop: Option<IpAddr>,
    /// The way of the packets that carry it on, where it leaves by a tunnel.
    pub tunnel: Vec<Stage>,
}

impl Stage {
    /// The same of an answer that passes the other way.
    pub(super) fn turned(&self) -> Self {
        let turned = |below: &[Device]| below.iter().rev().cloned().collect();
        Self {
            input: self.output.clone(),
            below_input: turned(&self.below_output),
            output: self.input.clone(),
            below_output: turned(&self.below_input),
            tuple_in: self.tuple_out.turned(),
            tuple_out: self.tuple_in.turned(),
            ..self.clone()
        }
    }

    /// All devices that the packet passes here, in order.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        let inwards = self.below_input.iter().chain(&self.input);
        inwards.chain(&self.bridge).chain(&self.output).chain(&self.below_output)
    }
}

/// Where a way ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With whom it was sent to: the last stage's namespace has the address.
    Arrives(NetnsInode),
    /// It leaves this machine by a device of the last stage.
    Leaves,
    /// Nobody can tell where it would go from the last stage: there is no way on, even with what was found mended.
    Lost,
}

/// The way there and back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The namespaces that the packet passes, in order.
    pub out: Vec<Stage>,
    /// Where that ends.
    pub end: End,
    /// The namespaces that the answer passes, in order. Of an answer from outside, from where it comes in.
    pub back: Vec<Stage>,
    /// Where that ends.
    pub back_end: End,
    /// What is broken, in the order in which the packet meets it.
    pub findings: Vec<Finding>,
    /// What was looked at.
    pub checked: Vec<Step>,
    /// What could not be told, a line each.
    pub unknown: Vec<String>,
}
