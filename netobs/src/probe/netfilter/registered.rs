//! Whether anything sits in netfilter's hooks of a namespace.

use std::fs;
use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE`
const GET_TABLE: u16 = 10 << 8 | 1;
/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE`
const NEW_TABLE: u16 = 10 << 8;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const DUMP: u16 = 0x1 | 0x300;
/// The tables of iptables-legacy that are in use.
const LEGACY: [&str; 2] = ["/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"];

/// In the calling thread's namespace: tables of nftables (those of iptables-nft are such, too) or of iptables-legacy.
/// Connection tracking is registered only where rules ask for it. What cannot be asked counts as there.
pub(super) fn is_anything() -> bool {
    has_nft_tables().unwrap_or(true) || LEGACY.iter().any(|path| fs::read(path).is_ok_and(|names| !names.is_empty()))
}

fn has_nft_tables() -> io::Result<bool> {
    let socket = Socket::new(NETLINK_NETFILTER)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // struct nlmsghdr, then struct nfgenmsg with the family "any".
    let mut request = Vec::with_capacity(20);
    request.extend_from_slice(&20_u32.to_ne_bytes());
    request.extend_from_slice(&GET_TABLE.to_ne_bytes());
    request.extend_from_slice(&DUMP.to_ne_bytes());
    request.extend_from_slice(&[0; 12]);
    socket.send(&request, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    // One table is enough to know; the rest of the dump goes with the socket.
    Ok(answer.get(4..6) == Some(&NEW_TABLE.to_ne_bytes()))
}
