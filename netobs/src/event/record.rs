//! From ring buffer bytes to an [`Event`].

use netobs_ebpf::{Fdb, HEADER_BYTES, Hook, flags};

use super::answer::Answer;
use super::call::Call;
use super::conntrack::{Conntrack, ConntrackLayout};
use super::header::Headers;
use super::ids::{DeviceName, DropReason, PacketId};
use super::lookup::Lookup;
use super::nested::Nested;
use super::part::Part;
use super::wait::Wait;
use crate::netlink::{Ifindex, MacAddress};
use crate::netns::NetnsInode;

/// How a packet came to be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It matched the filter at this event.
    Matched,
    /// A copy of a followed packet, sharing its data.
    Clone(PacketId),
    /// TCP sent the data of an earlier packet again.
    Retransmission(PacketId),
    /// A fragment of a packet that was too large for its way. The kernel does not say so: it is found by comparison.
    Fragment(PacketId),
    /// A segment of a packet that its device could not cut by itself. Found by comparison, too.
    Segment(PacketId),
}

/// The first bytes of a packet, for what [`Headers`] leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The bytes, at most [`HEADER_BYTES`].
    pub bytes: Box<[u8]>,
    /// They begin with the Ethernet header; otherwise with the network header.
    pub ethernet: bool,
    /// `skb->protocol`.
    pub ether_type: u16,
}

/// One packet at one hook.
#[derive(Clone, Debug)]
pub struct Event {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// Which packet.
    pub packet: PacketId,
    /// Set on the first event of a packet.
    pub origin: Option<Origin>,
    /// Where.
    pub hook: Hook,
    /// At a netfilter hook: whether the packet leaves it, accepted by everything there, rather than enters it.
    pub is_leaving: bool,
    /// At a netfilter hook: `br_netfilter` made a bridged frame pass here.
    pub is_bridged: bool,
    /// At a netfilter hook: the device the packet is to leave by.
    pub output: Option<Ifindex>,
    /// Namespace, if the packet had a device or a socket.
    pub netns: Option<NetnsInode>,
    /// Device index, if the packet had a device.
    pub ifindex: Option<Ifindex>,
    /// Device name.
    pub device: Option<DeviceName>,
    /// Bytes from the Ethernet header on, or from the network header if there is no Ethernet header.
    pub length: u32,
    /// What it is and where it goes.
    pub headers: Headers,
    /// On the first event of an IPv4 packet: which part of its datagram it is.
    pub part: Option<Part>,
    /// The packet inside, in a tunnel or quoted by an ICMP error.
    pub nested: Option<Box<Nested>>,
    /// The packet's own bytes, at `kfree_skb`.
    pub captured: Option<Box<Captured>>,
    /// At a routing lookup: what the table answered. `headers` and `length` are then empty.
    pub lookup: Option<Box<Lookup>>,
    /// Where the kernel answers it with an ICMP error: which.
    pub answer: Option<Answer>,
    /// The conntrack entry it carries.
    pub conntrack: Option<Conntrack>,
    /// Why the kernel dropped it, at `kfree_skb`.
    pub reason: Option<DropReason>,
    /// Return address of the call that freed it.
    pub location: Option<u64>,
    /// The event is about a copy that a socket held, not about the packet on the wire.
    pub is_copy: bool,
    /// `skb->mark`
    pub mark: u32,
    /// Address family of the socket that owns the packet.
    pub family: Option<u16>,
    /// `PACKET_OTHERHOST`, `PACKET_HOST` and so on.
    pub packet_type: u8,
    /// The link-layer address it is for, if it has an Ethernet header.
    pub destination: Option<MacAddress>,
    /// Where it comes to a bridge or leaves by a port of one: what the bridge knows of that address.
    pub fdb: Option<Fdb>,
}

/// One record of the ring buffer.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, taken in where it is made: a box would be an allocation each"
)]
pub enum Record {
    /// A packet at a hook.
    Event(Event),
    /// A packet at the entry of a function.
    Call(Call),
    /// A packet that waits for a neighbour, or no longer does.
    Wait(Wait),
}

/// Decodes one record. `None` if the bytes are not one, which would be a defect of ours.
pub fn decode(bytes: &[u8], layout: Option<&ConntrackLayout>) -> Option<Record> {
    match bytes.len() {
        Call::BYTES => Call::decode(bytes).map(Record::Call),
        Wait::BYTES => Wait::decode(bytes).map(Record::Wait),
        _ => event(bytes, layout).map(Record::Event),
    }
}

fn event(bytes: &[u8], layout: Option<&ConntrackLayout>) -> Option<Event> {
    if bytes.len() < size_of::<netobs_ebpf::Event>() {
        return None;
    }
    // SAFETY: long enough, and every bit pattern is a value of this struct of integers.
    let record = unsafe { bytes.as_ptr().cast::<netobs_ebpf::Event>().read_unaligned() };
    let hook = Hook::from_number(record.hook)?;
    let has = |flag| record.flags & flag != 0;
    let origin = has(flags::FIRST).then(|| match PacketId(record.parent) {
        parent if has(flags::RETRANSMIT) => Origin::Retransmission(parent),
        parent if has(flags::CLONE) => Origin::Clone(parent),
        _ => Origin::Matched,
    });
    let header: [u8; HEADER_BYTES] = bytes_of(&record.header);
    let header = header.get(..usize::from(record.captured)).unwrap_or(&header);
    let ethernet = has(flags::ETHERNET);
    let (headers, nested) = Headers::parse(header, ethernet, record.protocol);
    Some(Event {
        time: record.time,
        packet: PacketId(record.packet),
        origin,
        hook,
        is_leaving: has(flags::LEAVING),
        is_bridged: has(flags::BRIDGED),
        output: hook.is_netfilter().then(|| u32::try_from(record.location).ok()).flatten().and_then(index),
        netns: (record.netns != 0).then_some(NetnsInode(record.netns)),
        ifindex: index(record.ifindex),
        device: (record.device != [0; 2]).then(|| DeviceName(bytes_of(&record.device))),
        length: record.length,
        headers,
        part: origin.and_then(|_| Part::parse(header, ethernet, record.protocol)),
        nested: nested.map(Box::new),
        captured: (hook == Hook::KfreeSkb)
            .then(|| Box::new(Captured { bytes: header.into(), ethernet, ether_type: record.protocol })),
        lookup: matches!(hook, Hook::FibTableLookup | Hook::Fib6TableLookup).then(|| {
            // SAFETY: the words are more than it is long, and every bit pattern is a value of this struct of integers.
            let lookup = unsafe { record.header.as_ptr().cast::<netobs_ebpf::Lookup>().read_unaligned() };
            Box::new(Lookup::decode(&lookup))
        }),
        answer: Answer::decode(&record, hook),
        conntrack: layout.filter(|_| has(flags::CONNTRACK)).map(|l| Conntrack::decode(&record.conntrack, l)),
        reason: (hook == Hook::KfreeSkb).then_some(DropReason(record.reason)),
        location: (record.location != 0 && hook.is_free()).then_some(record.location),
        is_copy: has(flags::COPY),
        mark: record.mark,
        family: (record.family != 0).then_some(record.family),
        packet_type: record.packet_type,
        destination: header.first_chunk().filter(|_| ethernet).copied().map(MacAddress),
        fdb: Fdb::from_number(record.fdb),
    })
}

pub(super) fn index(number: u32) -> Option<Ifindex> {
    (number != 0).then_some(Ifindex(number))
}

pub(super) fn bytes_of<const WORDS: usize, const BYTES: usize>(words: &[u64; WORDS]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}
