//! Devices of the machine's own that a node has while the lab is up, and that come back as they were.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::state::State;
use super::topology::{Lent, Node, Topology};
use super::wire::mark;
use super::{Error, Result, difference, interrupt};
use crate::netlink::change::{LinkChange, add_address, set_link};
use crate::netlink::{Link, Socket};
use crate::netns::{Netns, NetnsInode};

/// What a device was before it was lent: written down before it is moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loan {
    /// The node that has it.
    pub node: String,
    /// Its name there.
    pub name: String,
    /// Its name on the machine.
    pub device: String,
    /// The namespace it came from.
    pub from: NetnsInode,
    /// It was switched on.
    pub up: bool,
    /// Its MTU.
    pub mtu: u32,
    /// Its addresses; the kernel takes them away when a device moves.
    pub addresses: Vec<(IpAddr, u8)>,
}

impl Loan {
    /// Whether a node still wants the device by that name.
    pub(super) fn is_wanted(&self, node: &Node) -> bool {
        node.lent.iter().any(|lent| lent.device == self.device && lent.name() == self.name)
    }
}

/// Refuses a topology that wants devices which cannot be lent, before anything is made.
pub(super) fn check(topology: &Topology, loans: &[Loan]) -> Result<()> {
    let wanted: Vec<&Lent> = topology.nodes.iter().flat_map(|node| &node.lent).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let links = machine()?.links().map_err(Error::netlink("the machine"))?;
    for lent in wanted {
        let there = links.iter().find(|link| link.name == lent.device);
        let is_lent = loans.iter().any(|loan| loan.device == lent.device);
        if !is_lent && there.is_none_or(|link| link.loopback || link.master.is_some()) {
            return Err(Error::NothingToLend(lent.device.clone()));
        }
    }
    Ok(())
}

fn machine() -> Result<Socket> {
    Socket::open().map_err(Error::netlink("the machine"))
}

/// Moves the devices that are to be lent and are not yet. The nodes live on without their builder by then: were they
/// to end with it, the kernel would remove a lent veth or dummy together with their namespaces.
pub(super) fn lend(state: &mut State, topology: &Topology, node: &Node, netns: &Netns) -> Result<()> {
    if node.lent.is_empty() {
        return Ok(());
    }
    let named = |error| Error::netlink("the machine")(error);
    let from = Netns::own()?.inode();
    let mut ours = machine()?;
    for lent in &node.lent {
        let links = ours.links().map_err(named)?;
        let Some(link) = links.into_iter().find(|link| link.name == lent.device) else { continue };
        let addresses = ours.addresses().map_err(named)?;
        let own = addresses.into_iter().filter(|found| found.ifindex == link.ifindex && !found.link_local);
        let loan = Loan {
            node: node.name.clone(),
            name: lent.name().to_owned(),
            device: lent.device.clone(),
            from,
            up: link.up,
            mtu: link.mtu,
            addresses: own.map(|found| (found.address, found.prefix_length)).collect(),
        };
        state.loans.retain(|known| known.device != loan.device);
        state.loans.push(loan);
        state.save()?;
        interrupt::crash_point();
        move_to(&mut ours, &link, lent.name(), netns).map_err(named)?;
        interrupt::crash_point();
    }
    let mut socket = Socket::open_in(netns).map_err(Error::netlink(&node.name))?;
    difference::mend(&mark(&state.lab), topology, node, &mut socket).map(drop)
}

/// It must be down to be renamed, and arrives switched off.
fn move_to(socket: &mut Socket, link: &Link, name: &str, netns: &Netns) -> crate::netlink::Result<()> {
    let none = LinkChange::default();
    let down = LinkChange { up: Some(false), master: link.master.map(|_| None), ..none };
    socket.apply(set_link(link.ifindex, &link.name, down))?;
    socket.apply(set_link(link.ifindex, &link.name, LinkChange { netns: Some(netns), name: Some(name), ..none }))
}

/// Gives back what was lent to these nodes. One that is not there any more, or was never moved, is nobody's loss.
pub(super) fn give_back<'a>(loans: &[Loan], nodes: impl Iterator<Item = (&'a str, &'a Netns)>) -> Vec<Error> {
    let mut failures = Vec::new();
    for (node, netns) in nodes {
        for loan in loans.iter().filter(|loan| loan.node == node) {
            failures.extend(give_one_back(loan, netns).err());
        }
    }
    failures
}

fn give_one_back(loan: &Loan, netns: &Netns) -> Result<()> {
    let own = Netns::own()?;
    let named = |error| Error::netlink(&loan.node)(error);
    let mut theirs = Socket::open_in(netns).map_err(named)?;
    if let Some(link) = theirs.link(&loan.name).map_err(named)? {
        if own.inode() != loan.from {
            return Err(Error::Elsewhere { device: loan.device.clone(), from: loan.from });
        }
        move_to(&mut theirs, &link, &loan.device, &own).map_err(named)?;
        interrupt::crash_point();
    }
    let machine_named = |error| Error::netlink("the machine")(error);
    let mut ours = machine()?;
    let Some(link) = ours.link(&loan.device).map_err(machine_named)?.filter(|_| own.inode() == loan.from) else {
        return Ok(());
    };
    let there = ours.addresses().map_err(machine_named)?;
    let change = LinkChange { up: loan.up.then_some(true), mtu: Some(loan.mtu), ..LinkChange::default() };
    let mut requests = vec![set_link(link.ifindex, &link.name, change)];
    for (address, length) in &loan.addresses {
        if !there.iter().any(|found| found.ifindex == link.ifindex && found.address == *address) {
            requests.push(add_address(link.ifindex, &link.name, *address, *length));
        }
    }
    ours.apply_all(&requests).map_err(machine_named)
}
