use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use super::{Error, Result, Socket};
use crate::netns::Netns;

/// What one namespace calls another: a small number that means nothing anywhere else.
///
/// The kernel gives one out when a link of the first has its peer in the second, and shows it as
/// `link-netnsid` with that link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetnsId(pub u32);

impl NetnsId {
    /// Negative: no id has been given (`NETNSA_NSID_NOT_ASSIGNED`).
    pub(super) fn from_kernel(id: i32) -> Option<Self> {
        u32::try_from(id).ok().map(Self)
    }
}

impl Socket {
    /// The id that this socket's namespace has for `other`, `None` if it has none (no link between them, and nobody
    /// asked for one). Comparing it with [`Link::link_netnsid`](super::Link::link_netnsid) finds a veth's peer.
    pub fn netns_id(&mut self, other: &Netns) -> Result<Option<NetnsId>> {
        let what = format!("look up the id of network namespace {}", other.inode());
        let mut message = NsidMessage::default();
        message.attributes.push(NsidAttribute::Fd(other.as_fd().as_raw_fd().unsigned_abs()));
        let answer = self.get(&what, RouteNetlinkMessage::GetNsId(message))?;
        let RouteNetlinkMessage::NewNsId(answer) = answer else {
            return Err(Error::Decode { what, reason: "not a namespace id".to_owned() });
        };
        Ok(answer.attributes.iter().find_map(|attribute| match attribute {
            NsidAttribute::Id(id) => NetnsId::from_kernel(*id),
            _ => None,
        }))
    }
}
