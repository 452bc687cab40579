use std::io;
use std::mem::size_of_val;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};

use serde::{Deserialize, Serialize};

use super::{Error, Netns, Result, in_netns};

/// A number that belongs to one network namespace and is never given out again until the machine restarts, unlike its
/// inode (`SO_NETNS_COOKIE`, 5.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NetnsCookie(pub u64);

impl Netns {
    /// Its cookie.
    pub fn cookie(&self) -> Result<NetnsCookie> {
        // Any socket of the namespace can be asked.
        let own = || UdpSocket::bind("0.0.0.0:0").and_then(|socket| NetnsCookie::of_socket(&socket));
        in_netns(self, own)?.map_err(|source| Error::Enter { inode: self.inode(), source })
    }
}

impl NetnsCookie {
    /// The cookie of the namespace that a socket belongs to, of whatever kind it is.
    pub fn of_socket(socket: &impl AsRawFd) -> io::Result<Self> {
        cookie_of(socket.as_raw_fd())
    }
}

fn cookie_of(socket: RawFd) -> io::Result<NetnsCookie> {
    let mut cookie = 0u64;
    let mut length = libc::socklen_t::try_from(size_of_val(&cookie)).unwrap_or(8);
    // SAFETY: the kernel writes at most `length` bytes to `cookie`, which is as large as that, and outlives the call.
    let status = unsafe {
        libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_NETNS_COOKIE, (&raw mut cookie).cast(), &raw mut length)
    };
    if status == 0 { Ok(NetnsCookie(cookie)) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::super::fresh_netns;

    #[test]
    fn no_two_namespaces_share_a_cookie() {
        let (Ok(one), Ok(other)) = (fresh_netns(), fresh_netns()) else { return };
        assert_eq!(one.cookie().unwrap(), one.cookie().unwrap());
        assert_ne!(one.cookie().unwrap(), other.cookie().unwrap());
    }
}
