//! How network namespaces are connected: their devices, the bridges these are ports of, and where the other end of each
//! cable is. Read over rtnetlink when asked; nothing is remembered.

mod peer;

use std::collections::HashMap;
use std::io;

use crate::netlink::{Address, Ifindex, Link, Socket};
use crate::netns::{Netns, NetnsInode, in_each_netns};

/// The machine's namespaces at one moment; `T` is what whoever asked knows of each.
#[derive(Clone, Debug)]
pub struct Topology<T> {
    /// Each that could be looked into, in the order they were asked for.
    pub members: Vec<Member<T>>,
}

/// A namespace.
#[derive(Clone, Debug)]
pub struct Member<T> {
    /// What whoever asked knows of it.
    pub whose: T,
    /// Its inode.
    pub inode: NetnsInode,
    /// Its devices, by number.
    pub devices: Vec<Device>,
}

/// A device.
#[derive(Clone, Debug)]
pub struct Device {
    /// What rtnetlink says of it.
    pub link: Link,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// The other end of a veth, or what a VLAN, macvlan or VXLAN device sits on. `None` if there is none, or its
    /// namespace is not among those that were looked into.
    pub other: Option<Place>,
}

/// Where a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The namespace, by its place in [`Topology::members`].
    pub member: usize,
    /// The device.
    pub ifindex: Ifindex,
}

impl<T: Sync> Topology<T> {
    /// Looks into namespaces that are known by their inodes. One that is gone, or may not be entered, is left out.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn look(
        namespaces: Vec<(NetnsInode, T)>,
        open: impl Fn(NetnsInode, &T) -> Option<Netns> + Sync,
    ) -> io::Result<Self> {
        // Opened one after another: a thousand at once would be too many descriptors.
        let opened = namespaces.iter().filter_map(|(inode, whose)| open(*inode, whose));
        let found = in_each_netns(opened, |netns| Some((netns.inode(), devices()?)))?;
        let mut found: HashMap<_, _> = found.into_iter().flatten().collect();
        let member = |(inode, whose)| Some(Member { whose, inode, devices: found.remove(&inode)? });
        let mut topology = Self { members: namespaces.into_iter().filter_map(member).collect() };
        topology.join(open);
        Ok(topology)
    }
}

impl<T> Member<T> {
    /// A device by its number.
    pub fn device(&self, ifindex: Ifindex) -> Option<&Device> {
        self.devices.iter().find(|device| device.link.ifindex == ifindex)
    }
}

fn devices() -> Option<Vec<Device>> {
    let mut socket = Socket::open().ok()?;
    let (links, addresses) = (socket.links().ok()?, socket.addresses().ok()?);
    let of = |ifindex| addresses.iter().filter(|address| address.ifindex == ifindex).cloned().collect();
    Some(links.into_iter().map(|link| Device { addresses: of(link.ifindex), link, other: None }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::fresh_netns;

    #[test]
    fn a_fresh_namespace_has_a_loopback_and_one_that_is_gone_is_left_out() {
        let Ok(netns) = fresh_netns() else { return };
        let inode = netns.inode();
        let open = |asked, _: &&str| (asked == inode).then(|| netns.again().unwrap());
        let topology = Topology::look(vec![(NetnsInode(1), "gone"), (inode, "fresh")], open).unwrap();
        let [member] = &*topology.members else { panic!("{topology:?}") };
        assert_eq!((member.whose, member.inode), ("fresh", inode));
        let [lo] = &*member.devices else { panic!("{topology:?}") };
        assert!(lo.link.loopback && lo.other.is_none() && lo.addresses.is_empty());
    }
}
