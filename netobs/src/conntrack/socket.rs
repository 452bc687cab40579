use std::io;
use std::time::Instant;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::{SocketAddr, protocols::NETLINK_NETFILTER};

use super::counters::{CpuCounters, Statistics};
use super::sources::{Count, Sources};
use crate::netlink::message::{DATAGRAM, Message, Messages, NLMSG_DONE, NLMSG_ERROR, attribute};
use crate::netlink::{Error, Result};
use crate::netns::{Netns, NetnsCookie, in_netns};

// <linux/netfilter/nfnetlink.h>, <linux/netfilter/nfnetlink_conntrack.h>
const NFNL_SUBSYS_CTNETLINK: u16 = 1;
const IPCTNL_MSG_CT_GET: u16 = 1;
const IPCTNL_MSG_CT_GET_STATS_CPU: u16 = 4;
const IPCTNL_MSG_CT_GET_STATS: u16 = 5;
const CTA_STATUS: u16 = 3;
const IPS_ASSURED: u32 = 1 << 2;
const CTA_STATS_GLOBAL_ENTRIES: u16 = 1;
const CTA_STATS_GLOBAL_MAX_ENTRIES: u16 = 2;
/// `struct nlmsghdr`
const NLMSG_HEADER: usize = 16;
/// `struct nfgenmsg`
const NFGENMSG: usize = 4;

/// A table that was rebuilt while it was read is read again. A table is rebuilt by hand (`nf_conntrack_buckets`), so
/// once more is enough for all but mischief.
const DUMP_ATTEMPTS: usize = 3;

/// How full a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Entries now, as `conntrack -C` shows.
    pub entries: u64,
    /// Entries at most: `nf_conntrack_max`, one number for the whole machine that each namespace's own entries are held
    /// against. `Some(0)` is no limit, `None` a kernel that does not say.
    pub limit: Option<u64>,
}

/// Some of a table's entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// How many were looked at.
    pub seen: u64,
    /// How many of them are never thrown out to make room (`IPS_ASSURED`): flows that went both ways.
    pub assured: u64,
}

/// A connection to ctnetlink in one namespace, whichever thread uses it. It keeps the namespace alive.
#[derive(Debug)]
pub struct Socket {
    inner: netlink_sys::Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket that belongs to `netns`. Takes `CAP_NET_ADMIN` there.
    ///
    /// # Errors
    /// The namespace cannot be entered, or there is no nfnetlink.
    pub fn open_in(netns: &Netns) -> Result<Self> {
        in_netns(netns, Self::open)?
    }

    /// As [`Self::open_in`], in the calling thread's namespace.
    pub(crate) fn open() -> Result<Self> {
        let open = || -> io::Result<netlink_sys::Socket> {
            let socket = netlink_sys::Socket::new(NETLINK_NETFILTER)?;
            socket.connect(&SocketAddr::new(0, 0))?;
            socket.set_ext_ack(true)?;
            socket.set_cap_ack(true)?;
            Ok(socket)
        };
        // The size of what is received into is what the kernel fills: a small first one makes every one small.
        Ok(Self { inner: open().map_err(Error::Open)?, sequence: 0, buffer: Vec::with_capacity(DATAGRAM) })
    }

    /// The cookie of the namespace that it belongs to.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn netns_cookie(&self) -> Result<NetnsCookie> {
        NetnsCookie::of_socket(&self.inner).map_err(Error::Open)
    }

    /// How full the table is (`ctnetlink_stat_ct`).
    ///
    /// # Errors
    /// The kernel refused.
    pub fn table(&mut self) -> Result<Table> {
        const WHAT: &str = "count the conntrack entries";
        self.ask(WHAT, IPCTNL_MSG_CT_GET_STATS, 0)?;
        let (mut answered, mut table) = (false, None);
        while !answered {
            self.receive(WHAT, |message| {
                let attributes = attributes(message);
                let number = |wanted| attribute(attributes, wanted).and_then(big_endian).map(u64::from);
                let limit = number(CTA_STATS_GLOBAL_MAX_ENTRIES);
                table = number(CTA_STATS_GLOBAL_ENTRIES).map(|entries| Table { entries, limit });
                answered = true;
            })?;
        }
        table.ok_or_else(|| Error::Decode { what: WHAT.to_owned(), reason: "no number in it".to_owned() })
    }

    /// What each CPU has counted (`ctnetlink_dump_ct_stat_cpu`).
    ///
    /// # Errors
    /// The kernel refused.
    pub fn statistics(&mut self) -> Result<Statistics> {
        const WHAT: &str = "read the conntrack statistics";
        let mut found = Statistics::default();
        self.ask(WHAT, IPCTNL_MSG_CT_GET_STATS_CPU, NLM_F_DUMP)?;
        let read = |message: &Message<'_>| {
            // nfgenmsg's res_id, in network order.
            let Some(cpu) = message.body().get(2..).and_then(|bytes| bytes.first_chunk()) else { return };
            let attributes = attributes(message);
            let value_of = |wanted| attribute(attributes, wanted).and_then(big_endian);
            let counters = CpuCounters::read(|counter| value_of(counter.attribute()));
            found.0.insert(u16::from_be_bytes(*cpu), counters);
        };
        self.receive_all(WHAT, read)?;
        Ok(found)
    }

    /// Reads every entry (`ctnetlink_dump_table`) and counts them by source.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn sources(&mut self, top: usize) -> Result<Sources> {
        const WHAT: &str = "read the conntrack entries";
        let began = Instant::now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut count = Count::default();
            self.ask(WHAT, IPCTNL_MSG_CT_GET, NLM_F_DUMP)?;
            let steady = self.receive_all(WHAT, |message| count.add(attributes(message)))?;
            if steady || attempts == DUMP_ATTEMPTS {
                return Ok(count.finish(top, steady, began.elapsed()));
            }
        }
    }

    /// Looks at the first entries of the table, about `most` of them, whose places depend on a hash: a sample. The rest
    /// of the answer is lost with the socket.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn sample(mut self, most: u64) -> Result<Sample> {
        const WHAT: &str = "look at conntrack entries";
        self.ask(WHAT, IPCTNL_MSG_CT_GET, NLM_F_DUMP)?;
        let (mut sample, mut done) = (Sample::default(), false);
        while !done && sample.seen < most {
            self.receive(WHAT, |message| {
                if message.kind == NLMSG_DONE {
                    done = true;
                    return;
                }
                let status = attribute(attributes(message), CTA_STATUS).and_then(big_endian).unwrap_or_default();
                sample.seen += 1;
                sample.assured += u64::from(status & IPS_ASSURED != 0);
            })?;
        }
        Ok(sample)
    }

    fn ask(&mut self, what: &str, message: u16, flags: u16) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut datagram = Vec::with_capacity(NLMSG_HEADER + NFGENMSG);
        datagram.extend(20u32.to_ne_bytes());
        datagram.extend((NFNL_SUBSYS_CTNETLINK << 8 | message).to_ne_bytes());
        datagram.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        datagram.extend(self.sequence.to_ne_bytes());
        // The kernel fills in the port; then AF_UNSPEC (both families), version 0, no resource.
        datagram.extend([0; 4 + NFGENMSG]);
        let failed = |source| Error::Transport { what: what.to_owned(), call: "send", source };
        self.inner.send(&datagram, 0).map(drop).map_err(failed)
    }

    /// Hands over the messages of a dump up to its end. Says whether nothing changed meanwhile.
    fn receive_all(&mut self, what: &str, mut each: impl FnMut(&Message<'_>)) -> Result<bool> {
        let (mut steady, mut done) = (true, false);
        while !done {
            self.receive(what, |message| {
                steady &= !message.interrupted();
                if message.kind == NLMSG_DONE { done = true } else { each(message) }
            })?;
        }
        Ok(steady)
    }

    /// Receives one datagram and hands over the messages in it. Nothing is allocated, however many there are.
    fn receive(&mut self, what: &str, mut each: impl FnMut(&Message<'_>)) -> Result<()> {
        let failed = |source| Error::Transport { what: what.to_owned(), call: "receive", source };
        self.buffer.clear();
        match self.inner.recv(&mut self.buffer, libc::MSG_TRUNC) {
            Ok(length) if length > self.buffer.len() => return Err(failed(io::ErrorKind::FileTooLarge.into())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
        for message in Messages(&self.buffer).filter(|message| message.sequence == self.sequence) {
            if message.kind == NLMSG_ERROR {
                message.answer(what)?;
            }
            each(&message);
        }
        Ok(())
    }
}

fn attributes<'a>(message: &Message<'a>) -> &'a [u8] {
    message.body().get(NFGENMSG..).unwrap_or_default()
}

fn big_endian(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*value.first_chunk()?))
}
