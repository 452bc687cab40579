//! Reading netlink messages of any family as the kernel lays them out, without copying.

use std::io;

use super::{Error, Result};

// <linux/netlink.h>
/// `struct nlmsghdr`
const NLMSG_HEADER: usize = 16;
/// A message that answers a request, with an error or with none.
pub(crate) const NLMSG_ERROR: u16 = 2;
/// The end of a dump.
pub(crate) const NLMSG_DONE: u16 = 3;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// `struct nlattr`
const NLA_HEADER: usize = 4;
/// Both flags of an attribute's type: nested, and in network order.
const NLA_TYPE_FLAGS: u16 = 0xc000;

/// The kernel fills at most this much per datagram of a dump (`netlink_dump`: `NLMSG_GOODSIZE` up to 32 KiB).
pub(crate) const DATAGRAM: usize = 64 * 1024;

/// One `struct nlmsghdr` and what follows it.
pub(crate) struct Message<'a> {
    /// What it is: `NLMSG_…`, or a number of its family.
    pub(crate) kind: u16,
    flags: u16,
    /// The number of the request that it answers.
    pub(crate) sequence: u32,
    whole: &'a [u8],
}

impl<'a> Message<'a> {
    /// What follows the header.
    pub(crate) fn body(&self) -> &'a [u8] {
        self.whole.get(NLMSG_HEADER..).unwrap_or_default()
    }

    /// Reads a `struct nlmsgerr`: zero is an acknowledgement.
    pub(crate) fn answer(&self, what: &str) -> Result<()> {
        let code = word(self.body(), 0).map(u32::cast_signed).ok_or_else(|| short(what))?;
        if code == 0 {
            return Ok(());
        }
        let source = io::Error::from_raw_os_error(code.wrapping_neg());
        Err(Error::Refused { what: what.to_owned(), source, hint: self.hint() })
    }

    /// The sentence in the extended acknowledgement. It follows the copy of the request, of which only the header is
    /// there when the answer is capped.
    fn hint(&self) -> Option<String> {
        if self.flags & NLM_F_ACK_TLVS == 0 {
            return None;
        }
        let copied = if self.flags & NLM_F_CAPPED != 0 { NLMSG_HEADER } else { word(self.body(), 4)? as usize };
        let mut rest = self.body().get(4 + copied..)?;
        while let (Some(length), Some(kind)) = (half(rest, 0), half(rest, 2)) {
            if kind == NLMSGERR_ATTR_MSG {
                let text = rest.get(4..usize::from(length))?;
                return Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
            }
            rest = rest.get(usize::from(length).max(4).next_multiple_of(4)..)?;
        }
        None
    }

    /// Whether something changed while the dump that it belongs to was made.
    pub(crate) fn interrupted(&self) -> bool {
        self.flags & NLM_F_DUMP_INTR != 0
    }
}

/// The messages of one datagram.
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = word(self.0, 0)? as usize;
        let whole = self.0.get(..length).filter(|whole| whole.len() >= NLMSG_HEADER)?;
        let message = Message { kind: half(whole, 4)?, flags: half(whole, 6)?, sequence: word(whole, 8)?, whole };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

/// The value of the first attribute of this kind.
pub(crate) fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(half(attributes, 0)?);
        if half(attributes, 2)? & !NLA_TYPE_FLAGS == wanted {
            return attributes.get(NLA_HEADER..length);
        }
        attributes = attributes.get(length.max(NLA_HEADER).next_multiple_of(4)..)?;
    }
}

/// The 32 bits at this place, in the machine's order.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The 16 bits at this place, in the machine's order.
pub(crate) fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn short(what: &str) -> Error {
    Error::Decode { what: what.to_owned(), reason: "it is too short".to_owned() }
}
