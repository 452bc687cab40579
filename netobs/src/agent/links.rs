use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use crate::netns::{Netns, in_netns};

/// `RTMGRP_LINK`: links that come, go and change.
const LINKS: u32 = 1;
/// `RTNLGRP_NSID`: a namespace got a number here, since a link leads there.
const NSIDS: u32 = 28;

/// Tells when links of the machine's own namespace change.
pub(super) struct Links(Socket);

impl Links {
    /// Begins to listen. `None` where that is not permitted.
    pub fn listen() -> Option<Self> {
        let host = Netns::host().ok()?;
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind(&SocketAddr::new(0, LINKS))?;
            socket.add_membership(NSIDS)?;
            Ok(socket)
        };
        in_netns(&host, open).ok()?.ok().map(Self)
    }

    /// Takes what there is. What it says does not matter, nor that some of it was lost (`ENOBUFS`): either is heard, and
    /// then everything is looked at.
    pub fn drain(&self) {
        let mut message = Vec::with_capacity(8 << 10);
        while self.0.recv(&mut message, libc::MSG_DONTWAIT).is_ok() {
            message.clear();
        }
    }
}

impl AsFd for Links {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket is open for as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}
