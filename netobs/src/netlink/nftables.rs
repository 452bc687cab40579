//! What nf_tables says of a namespace's rule set as a whole.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use super::message::{Messages, NLMSG_DONE, NLMSG_ERROR, attribute};

/// `NFNL_SUBSYS_NFTABLES << 8`
const SUBSYSTEM: u16 = 10 << 8;
const NFT_MSG_NEWTABLE: u16 = SUBSYSTEM;
const NFT_MSG_GETTABLE: u16 = SUBSYSTEM | 1;
const NFT_MSG_NEWGEN: u16 = SUBSYSTEM | 15;
const NFT_MSG_GETGEN: u16 = SUBSYSTEM | 16;
const NFTA_GEN_ID: u16 = 1;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
/// `struct nfgenmsg`
const NFGENMSG: usize = 4;

/// Whether the calling thread's namespace has tables, those of iptables-nft included.
///
/// # Errors
/// The kernel has no nf_tables, or will not say.
pub fn has_tables() -> io::Result<bool> {
    let socket = ask(NFT_MSG_GETTABLE, NLM_F_DUMP)?;
    let mut has_tables = false;
    // To the end: what is left in a socket when it is closed counts as dropped (`QUEUE_PURGE`).
    loop {
        let answer = socket.recv_from_full()?.0;
        let kinds: Vec<_> = Messages(&answer).map(|message| message.kind).collect();
        has_tables |= kinds.contains(&NFT_MSG_NEWTABLE);
        if kinds.is_empty() || kinds.iter().any(|kind| [NLMSG_DONE, NLMSG_ERROR].contains(kind)) {
            return Ok(has_tables);
        }
    }
}

/// A number that changes with every change of the calling thread's namespace's rule set.
///
/// # Errors
/// As for [`has_tables`].
pub fn generation() -> io::Result<u32> {
    let answer = ask(NFT_MSG_GETGEN, 0)?.recv_from_full()?.0;
    let number = Messages(&answer).find(|message| message.kind == NFT_MSG_NEWGEN).and_then(|message| {
        let number = attribute(message.body().get(NFGENMSG..)?, NFTA_GEN_ID)?;
        number.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    });
    number.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Sends a request without attributes; the answer is to be read.
fn ask(kind: u16, flags: u16) -> io::Result<Socket> {
    let socket = Socket::new(NETLINK_NETFILTER)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // struct nlmsghdr, then struct nfgenmsg with the family "any".
    let mut request = Vec::with_capacity(20);
    request.extend_from_slice(&20_u32.to_ne_bytes());
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
    request.extend_from_slice(&[0; 12]);
    socket.send(&request, 0)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_set_has_a_generation() {
        // A kernel without nf_tables refuses the request.
        if let Ok(first) = generation() {
            assert!(generation().unwrap() >= first);
        }
    }
}
