//! Where a virtual cable ends.

use super::Machine;
use crate::netlink::Ifindex;
use crate::netns::NetnsInode;

impl Machine {
    /// The other end of a veth pair, or the link that a device sits on. `None` if there is none, or its namespace cannot
    /// be found: nobody holds on to it but the link itself.
    pub fn other_end(&mut self, netns: NetnsInode, link: Ifindex) -> Option<(NetnsInode, Ifindex)> {
        let view = self.view(netns)?;
        let link = view.link(link)?;
        let peer = link.peer?;
        match link.link_netnsid {
            None => Some((netns, peer)),
            Some(id) => Some((self.netns_called(netns, id.0)?, peer)),
        }
    }

    /// Which namespace another one means by this id.
    fn netns_called(&mut self, by: NetnsInode, id: u32) -> Option<NetnsInode> {
        let opened = self.open(by)?;
        if let Some(found) = opened.names.get(&id) {
            return Some(*found);
        }
        if opened.asked_for_names {
            return None;
        }
        // The kernel answers for a namespace, not for an id; so all are asked about, once.
        let mut found = Vec::new();
        for inode in self.all() {
            let Some(other) = self.namespaces.open(inode) else { continue };
            let Some(opened) = self.open(by) else { continue };
            if let Ok(Some(id)) = opened.socket.netns_id(&other) {
                found.push((id.0, inode));
            }
        }
        let opened = self.open(by)?;
        opened.names.extend(found);
        opened.asked_for_names = true;
        opened.names.get(&id).copied()
    }
}
