//! Which packet is this? An identity is given at first sight and found again by the addresses of the skb and its head.
//!
//! Address same, head new: the header was expanded. Head same, address new: a clone. Some frees pass no tracepoint, so
//! an address alone proves nothing: the fingerprint, made of what NAT leaves alone, must fit too.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{LruHashMap, PerCpuArray};
use netobs_ebpf::Hook;

use crate::access::{Access, LAYOUT, Probed, offset};
use crate::packet::Extent;
use crate::seen;

/// A packet that is being followed, under the address of its skb and under that of its head.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Entry {
    pub packet: u64,
    pub fingerprint: u64,
    pub head: u64,
    /// Where it was seen first: namespace and device.
    pub origin: u64,
    /// 1 while the packet was last seen entering a stack.
    pub received: u64,
}

/// Two entries a packet; the oldest give way.
#[map]
static PACKETS: LruHashMap<u64, Entry> = LruHashMap::with_max_entries(131_072, 0);

#[map]
static SEQUENCE: PerCpuArray<u64> = PerCpuArray::with_max_entries(Hook::ALL.len() as u32, 0);

/// A number no other packet of this run has: CPU, hook, and a count of its own for each pair of them. A program is never
/// interrupted by itself on one CPU, but by that of another hook it is.
#[inline(always)]
pub fn new_identity(hook: Hook) -> u64 {
    let Some(sequence) = SEQUENCE.get_ptr_mut(hook as u32) else { return 0 };
    // SAFETY: this CPU's value of this hook, which no one else writes.
    let number = unsafe {
        *sequence += 1;
        *sequence
    };
    // SAFETY: the helper has no preconditions.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    u64::from(cpu) << 48 | (hook as u64) << 40 | number
}

#[inline(always)]
fn find(address: u64) -> Option<*mut Entry> {
    PACKETS.get_ptr_mut(&address)
}

/// Whether both keys could be written.
#[inline(always)]
pub fn remember(skb: u64, entry: &Entry) -> bool {
    remember_address(skb, entry) && remember_address(entry.head, entry)
}

/// Whether the key could be written.
#[inline(always)]
pub fn remember_address(address: u64, entry: &Entry) -> bool {
    seen::note();
    PACKETS.insert(&address, entry, 0).is_ok()
}

#[inline(always)]
fn remember_head(entry: &Entry) {
    remember_address(entry.head, entry);
}

#[inline(always)]
pub fn forget(address: u64) {
    let _ = PACKETS.remove(&address);
}

/// Whether other skbs still use the same head, so that it cannot become another packet's yet.
///
/// # Safety
/// `skb` is a `struct sk_buff *` and `head` its head.
#[inline(always)]
pub unsafe fn is_shared<A: Access>(skb: *const u8, head: u64) -> bool {
    // SAFETY: as the caller vouches; skb_end_pointer() is head + end on 64-bit kernels, and the shared info is there.
    unsafe {
        if A::read_bits(skb, &LAYOUT.skb_cloned) == 0 {
            return false;
        }
        let end: u32 = A::read(skb, offset!(skb_end));
        let shared_info = (head as *const u8).wrapping_add(end as usize);
        let references: u32 = Probed::read(shared_info, offset!(shinfo_dataref));
        // The upper half counts references to the payload only (SKB_DATAREF_SHIFT).
        references & 0xffff > 1
    }
}

const IPV4: u8 = 4;
const IPV6: u8 = 6;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Set in every hash, so that none is 0.
const HASH: u64 = 1;
/// Set in the hash of a TCP segment.
const HASH_OF_TCP: u64 = 2;

/// # Safety
/// `head` is a live packet's head and `network` the offset of its network header.
#[inline(always)]
pub unsafe fn fingerprint(head: u64, network: u32) -> u64 {
    fingerprint_hash(&[head, u64::from(network)])
}

/// A hash of what neither NAT nor a router changes: IP id, lengths, TCP sequence numbers, ICMP sequence, the first bytes
/// of a datagram's payload.
///
/// Exported for the same reason as the filter: its branches, verified anew on every path that leads to it, cost the
/// egress classifier more than the million instructions a verifier looks at (6.1).
///
/// The head and the offset come through memory: to a tp_btf program `skb->head` is no number, and only numbers may be
/// handed to an exported function as they are.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fingerprint_hash(place: *const [u64; 2]) -> u64 {
    if place.is_null() {
        return 0;
    }
    // SAFETY: not null, so it is the caller's array. Read at once: a verifier follows neither from the other.
    let [head, network] = unsafe { core::ptr::read_volatile(place) };
    let ip = (head as *const u8).wrapping_add(network as usize);
    // SAFETY: the helper behind Probed checks the address, here and below.
    let words: [u32; 2] = unsafe { Probed::read(ip, 0) };
    let first = words[0] as u8;
    let (mut hash, protocol, transport) = if first >> 4 == IPV4 {
        // Total length, identification, fragment offset; protocol.
        let protocol: u8 = unsafe { Probed::read(ip, 9) };
        let later_fragment = words[1] & u32::from_ne_bytes([0, 0, 0x1f, 0xff]) != 0;
        (
            (u64::from(words[0] >> 16) << 32) | u64::from(words[1]),
            if later_fragment { 0 } else { protocol },
            u32::from(first & 15) * 4,
        )
    } else if first >> 4 == IPV6 {
        // Flow label, payload length; next header.
        (
            u64::from(words[0] & u32::from_ne_bytes([0, 0x0f, 0xff, 0xff])) << 32 | u64::from(words[1] as u16),
            (words[1] >> 16) as u8,
            40,
        )
    } else {
        // ARP and the like: operation, then sender and target.
        let rest: [u64; 2] = unsafe { Probed::read(ip, 8) };
        let last: u32 = unsafe { Probed::read(ip, 24) };
        (rest[0] ^ rest[1].rotate_left(17) ^ u64::from(words[1]) << 32 ^ u64::from(last), 0, 0)
    };
    // SAFETY: as above.
    let l4: [u32; 4] = unsafe { Probed::read(ip.wrapping_add(transport as usize), 0) };
    let detail = match protocol {
        // Sequence and acknowledgement; data offset, flags and window.
        TCP => (u64::from(l4[1]) << 32 | u64::from(l4[2])) ^ u64::from(l4[3]).rotate_left(13),
        // Length, and eight bytes of payload: NAT changes ports and with them the checksum.
        UDP => u64::from(l4[1] as u16) ^ (u64::from(l4[2]) << 32 | u64::from(l4[3])),
        // Type, code and sequence; NAT may change the id and with it the checksum.
        ICMP | ICMPV6 => u64::from(l4[0] as u16) | u64::from(l4[1] >> 16) << 16,
        _ => 0,
    };
    hash = (hash ^ u64::from(protocol) << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = (hash ^ hash >> 29 ^ detail).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let tcp = if protocol == TCP { HASH_OF_TCP } else { 0 };
    hash & !(HASH | HASH_OF_TCP) | HASH | tcp
}

/// What a sighting is, once the maps were asked.
pub enum Identity {
    /// A packet that is followed already.
    Known(u64),
    /// A copy that shares the data of a followed packet.
    Clone { parent: u64 },
    /// A TCP segment sent again: a new packet whose data an earlier one carried.
    Retransmission { original: u64 },
    /// Never seen, or not the packet that used to have this address.
    Unknown,
}

/// Decides, and keeps the maps in step with what was decided. Returns the fingerprint, too, or 0 if it was not needed.
/// An `Option` would not do: where it is `None` the compiler copies registers about that nobody has written to, which
/// the verifier refuses.
///
/// # Safety
/// `skb` is a `struct sk_buff *` and `extent` its extent.
#[inline(always)]
pub unsafe fn identify(hook: Hook, skb: u64, owned: bool, place: impl Fn() -> u64, extent: &Extent) -> (Identity, u64) {
    let mut known_print = 0;
    if !seen::is_anything_followed() {
        return (Identity::Unknown, known_print);
    }
    // The two lookups are kept apart: the verifier refuses to see two pointers compared to null in one operation.
    if let Some(entry) = find(skb) {
        // SAFETY: as the caller vouches; a map value stays readable while the program runs.
        let (entry, fingerprint) = unsafe { (&mut *entry, fingerprint(extent.head, extent.network)) };
        known_print = fingerprint;
        // A packet that arrived somewhere does not leave its sender a second time: this is the next one to get the same
        // memory, alike to the byte. A bridged packet keeps its socket, so that alone would not do.
        let sent_anew = hook.is_transmit() && owned && entry.received == 1 && entry.origin == place();
        if entry.fingerprint == fingerprint && !sent_anew {
            entry.received = u64::from(hook.is_receive());
            if entry.head != extent.head {
                forget(entry.head);
                entry.head = extent.head;
                remember_head(&Entry { ..*entry });
            }
            return (Identity::Known(entry.packet), known_print);
        }
    }
    if let Some(entry) = find(extent.head) {
        // SAFETY: as above.
        let entry = unsafe { &*entry };
        let fingerprint = if known_print == 0 {
            // SAFETY: as the caller vouches.
            unsafe { fingerprint(extent.head, extent.network) }
        } else {
            known_print
        };
        known_print = fingerprint;
        if entry.fingerprint == fingerprint {
            // TCP sends clones of what stays in its write queue; a clone made on the way belongs to no socket.
            if !(hook.is_transmit() && owned) {
                return (Identity::Clone { parent: entry.packet }, known_print);
            }
            if fingerprint & HASH_OF_TCP != 0 {
                return (Identity::Retransmission { original: entry.packet }, known_print);
            }
        }
    }
    (Identity::Unknown, known_print)
}
