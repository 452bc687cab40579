//! The other end of a cable.

use std::collections::HashMap;

use super::{Device, Place, Topology};
use crate::netlink::{Ifindex, Link, NetnsId, Socket};
use crate::netns::{Netns, NetnsInode};

/// What one namespace means by a number: the kernel answers for a namespace, not for a number, so it is asked about those
/// that have a fitting device.
struct Names<'a> {
    socket: Option<Socket>,
    known: HashMap<usize, Option<NetnsId>>,
    open: &'a dyn Fn(usize) -> Option<Netns>,
}

impl Names<'_> {
    fn id(&mut self, member: usize) -> Option<NetnsId> {
        *self.known.entry(member).or_insert_with(|| {
            let other = (self.open)(member)?;
            self.socket.as_mut()?.netns_id(&other).ok()?
        })
    }
}

impl<T> Topology<T> {
    /// Finds the other end of every device that has one.
    pub(super) fn join(&mut self, open: impl Fn(NetnsInode, &T) -> Option<Netns>) {
        let open = |member: usize| self.members.get(member).and_then(|member| open(member.inode, &member.whose));
        let by_number = self.by_number();
        let mut found = Vec::new();
        for (own, member) in self.members.iter().enumerate() {
            let mut names: Option<Names<'_>> = None;
            for (place, device) in member.devices.iter().enumerate() {
                let Some(other) = device.link.peer else { continue };
                let member = match device.link.link_netnsid {
                    None => Some(own),
                    Some(id) => {
                        let names = names.get_or_insert_with(|| {
                            let socket = open(own).and_then(|netns| Socket::open_in(&netns).ok());
                            Names { socket, known: HashMap::new(), open: &open }
                        });
                        let candidates = by_number.get(&other).into_iter().flatten();
                        let mut fitting = candidates.filter(|(_, link)| fits(&device.link, link));
                        fitting.find(|(member, _)| names.id(*member) == Some(id)).map(|(member, _)| *member)
                    }
                };
                found.push((own, place, member.map(|member| Place { member, ifindex: other })));
            }
        }
        for (own, place, other) in found {
            if let Some(device) = self.device_mut(own, place) {
                device.other = other;
            }
        }
    }

    fn by_number(&self) -> HashMap<Ifindex, Vec<(usize, &Link)>> {
        let mut by_number: HashMap<_, Vec<_>> = HashMap::new();
        for (number, member) in self.members.iter().enumerate() {
            for Device { link, .. } in &member.devices {
                by_number.entry(link.ifindex).or_default().push((number, link));
            }
        }
        by_number
    }

    fn device_mut(&mut self, member: usize, place: usize) -> Option<&mut Device> {
        self.members.get_mut(member)?.devices.get_mut(place)
    }
}

/// Whether a device can be the other end of `own`: a veth's knows of it, too.
fn fits(own: &Link, other: &Link) -> bool {
    own.kind.as_deref() != Some("veth") || (other.kind == own.kind && other.peer == Some(own.ifindex))
}
