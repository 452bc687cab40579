use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;

use super::message::Message;
use super::{Error, Result};

/// One change to be made, and what to call it should the kernel refuse.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) what: String,
    message: RouteNetlinkMessage,
    flags: u16,
}

impl Request {
    /// A request with further flags (`NLM_F_CREATE | NLM_F_EXCL` makes, none changes).
    pub(super) fn new(what: impl Into<String>, message: RouteNetlinkMessage, flags: u16) -> Self {
        Self { what: what.into(), message, flags }
    }

    /// Appends the message in the kernel's layout. `NLM_F_ACK` makes the kernel answer for this one in particular.
    pub(super) fn write(&self, sequence: u32, into: &mut Vec<u8>) {
        encode(self.message.clone(), NLM_F_REQUEST | NLM_F_ACK | self.flags, sequence, into);
    }
}

/// Appends a message in the kernel's layout, padded so that another may follow in the same datagram.
pub(super) fn encode<M: NetlinkSerializable>(message: M, flags: u16, sequence: u32, into: &mut Vec<u8>) {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    message.finalize();
    let start = into.len();
    into.resize(start + message.buffer_len().next_multiple_of(4), 0);
    if let Some(space) = into.get_mut(start..start + message.buffer_len()) {
        message.serialize(space);
    }
}

/// Reads a message of rtnetlink, or of another family that has a type of its own.
pub(super) fn decode<M: NetlinkDeserializable>(what: &str, message: &Message<'_>) -> Result<M> {
    let mut header = NetlinkHeader::default();
    header.message_type = message.kind;
    M::deserialize(&header, message.body())
        .map_err(|error| Error::Decode { what: what.to_owned(), reason: error.to_string() })
}
