//! Filling the connection tracking table, as a flood would, over ctnetlink.

use std::fs;
use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use super::step::ConntrackStep;
use crate::netlink::message::{DATAGRAM, Messages, NLMSG_ERROR, word};

/// The machine's limit, which every namespace's count is held against. It cannot be changed from within one.
const LIMIT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
/// Entries per system call. The kernel answers each that it refuses, and the answers wait in the receive buffer.
const BATCH: u32 = 512;
/// A machine whose table is larger is not filled for a lesson: an entry takes about 320 bytes.
const MOST: u64 = 1 << 20;

// <linux/netfilter/nfnetlink.h>, <linux/netfilter/nfnetlink_conntrack.h>
const NEW: u16 = 1 << 8;
const DELETE: u16 = (1 << 8) | 2;
const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const STATUS: u16 = 3;
const PROTOINFO: u16 = 4;
const TIMEOUT: u16 = 7;
const STATUS_MASK: u16 = 26;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const IP_V4_SRC: u16 = 1;
const IP_V4_DST: u16 = 2;
const PROTO_NUM: u16 = 1;
const PROTO_SRC_PORT: u16 = 2;
const PROTO_DST_PORT: u16 = 3;
const PROTOINFO_TCP: u16 = 1;
const PROTOINFO_TCP_STATE: u16 = 1;
const NESTED: u16 = 0x8000;
// <linux/netfilter/nf_conntrack_common.h>, <linux/netfilter/nf_conntrack_tcp.h>
const IPS_SEEN_REPLY: u32 = 1 << 1;
const IPS_ASSURED: u32 = 1 << 2;
const IPS_CONFIRMED: u32 = 1 << 3;
const IPS_FIXED_TIMEOUT: u32 = 1 << 10;
const TCP_ESTABLISHED: u8 = 3;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
/// Seconds that an entry lives: longer than the lesson.
const LIFETIME: u32 = 600;
/// 198.18.0.0/15, set aside for tests of this kind (RFC 2544).
const CLIENTS: u32 = 0xc612_0000;
const SERVER: u32 = 0xc613_0001;

/// Does it in the calling thread's namespace.
pub(super) fn perform(step: ConntrackStep) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    match step {
        ConntrackStep::Flush => delete(&socket, |_| {}),
        ConntrackStep::FillAssured => fill(&socket, true),
        ConntrackStep::FillUnassured => fill(&socket, false),
    }
}

/// Deletes the entries that fulfil what the attributes say; all if there are none.
fn delete(socket: &Socket, attributes: impl FnOnce(&mut Message)) -> io::Result<()> {
    let mut message = Message::new(DELETE, 0, 0);
    attributes(&mut message);
    message.finish();
    socket.send(&message.bytes, 0)?;
    answers(socket, 0)
}

/// Deletes what is not ours: only ours do not go on living with each packet.
fn delete_others(socket: &Socket) -> io::Result<()> {
    delete(socket, |message| {
        message.attribute(STATUS, &0_u32.to_be_bytes());
        message.attribute(STATUS_MASK, &IPS_FIXED_TIMEOUT.to_be_bytes());
    })
}

/// Adds entries until there is room for none: not one more, for which the kernel would throw out another.
fn fill(socket: &Socket, assured: bool) -> io::Result<()> {
    let limit = number(LIMIT)?;
    if limit > MOST {
        let message = format!("this machine's table holds {limit} entries: too many to fill for a lesson");
        return Err(io::Error::other(message));
    }
    let mut made: u32 = 0;
    let end = u32::try_from(limit).unwrap_or(u32::MAX).saturating_add(BATCH * 8);
    while made < end {
        let room = limit.saturating_sub(number(COUNT)?);
        let batch = u32::try_from(room).unwrap_or(u32::MAX).min(BATCH);
        if batch == 0 {
            // What came by itself meanwhile, such as the host's own IGMP report, may run out or be thrown out, and then
            // there is room for one after all.
            if assured {
                delete_others(socket)?;
            }
            if number(COUNT)? >= limit {
                return Ok(());
            }
            continue;
        }
        let mut datagram = Vec::new();
        for index in made..made + batch {
            entry(index, assured, index + 1 == made + batch, &mut datagram);
        }
        made += batch;
        socket.send(&datagram, 0)?;
        answers(socket, made - 1)?;
    }
    Ok(())
}

fn number(path: &str) -> io::Result<u64> {
    let text = fs::read_to_string(path).map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
    text.trim().parse().map_err(io::Error::other)
}

/// Reads answers up to the one to the message with this number, which asks for one. A full table is what is wanted.
fn answers(socket: &Socket, last: u32) -> io::Result<()> {
    loop {
        let mut datagram = Vec::with_capacity(DATAGRAM);
        socket.recv(&mut datagram, 0)?;
        for message in Messages(&datagram) {
            // `struct nlmsgerr`: zero is an acknowledgement.
            let code = word(message.body(), 0).map_or(0, u32::cast_signed);
            let is_full = [-libc::ENOMEM, -libc::EEXIST, -libc::ENOSPC].contains(&code);
            if message.kind == NLMSG_ERROR && code != 0 && !is_full {
                return Err(io::Error::from_raw_os_error(-code));
            }
            if message.sequence == last {
                return Ok(());
            }
        }
    }
}

/// A flow of its own: 60,000 ports of as many clients as it takes.
fn entry(index: u32, assured: bool, last: bool, datagram: &mut Vec<u8>) {
    let client = CLIENTS + 1 + index / 60_000;
    let port = u16::try_from(1024 + index % 60_000).unwrap_or_default();
    let protocol = if assured { IPPROTO_TCP } else { IPPROTO_UDP };
    let acknowledged = if last { libc::NLM_F_ACK as u16 } else { 0 };
    let mut message = Message::new(NEW, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16 | acknowledged, index);
    message.tuple(TUPLE_ORIG, (client, port), (SERVER, 80), protocol);
    message.tuple(TUPLE_REPLY, (SERVER, 80), (client, port), protocol);
    let answered = if assured { IPS_SEEN_REPLY | IPS_ASSURED } else { 0 };
    let status = IPS_CONFIRMED | IPS_FIXED_TIMEOUT | answered;
    message.attribute(STATUS, &status.to_be_bytes());
    message.attribute(TIMEOUT, &LIFETIME.to_be_bytes());
    if assured {
        message.nested(PROTOINFO, |message| {
            message.nested(PROTOINFO_TCP, |message| message.attribute(PROTOINFO_TCP_STATE, &[TCP_ESTABLISHED]));
        });
    }
    message.finish();
    datagram.extend(message.bytes);
}

/// A message to nfnetlink, as it grows.
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: u16, sequence: u32) -> Self {
        let flags = flags | libc::NLM_F_REQUEST as u16 | if kind == DELETE { libc::NLM_F_ACK as u16 } else { 0 };
        let mut bytes = vec![0; 4];
        // NFNL_SUBSYS_CTNETLINK is 1, in the upper byte of the kind.
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        // struct nfgenmsg: family, version, resource.
        bytes.extend([libc::AF_INET as u8, 0, 0, 0]);
        Self { bytes }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).unwrap_or_default();
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.attribute(kind | NESTED, &[]);
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or_default();
        if let Some(place) = self.bytes.get_mut(start..start + 2) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
    }

    fn tuple(&mut self, kind: u16, from: (u32, u16), to: (u32, u16), protocol: u8) {
        self.nested(kind, |message| {
            message.nested(TUPLE_IP, |message| {
                message.attribute(IP_V4_SRC, &from.0.to_be_bytes());
                message.attribute(IP_V4_DST, &to.0.to_be_bytes());
            });
            message.nested(TUPLE_PROTO, |message| {
                message.attribute(PROTO_NUM, &[protocol]);
                message.attribute(PROTO_SRC_PORT, &from.1.to_be_bytes());
                message.attribute(PROTO_DST_PORT, &to.1.to_be_bytes());
            });
        });
    }

    fn finish(&mut self) {
        let length = u32::try_from(self.bytes.len()).unwrap_or_default();
        if let Some(place) = self.bytes.get_mut(..4) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
    }
}
