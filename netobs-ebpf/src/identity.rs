//! Which packet is this? An identity is given at first sight and found again by the addresses of the skb and its head.
//!
//! Address same, head new: the header was expanded. Head same, address new: a clone. Some frees pass no tracepoint, so
//! an address alone proves nothing: the fingerprint must fit too.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{LruHashMap, PerCpuArray};
use netobs_ebpf::Hook;

use crate::access::{Access, LAYOUT, Probed, offset};
use crate::atomic;
use crate::fingerprint::Fingerprint;
use crate::packet::Extent;
use crate::seen;

/// A packet that is being followed, under the address of its skb and under that of its head.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Entry {
    pub packet: u64,
    pub fingerprint: Fingerprint,
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

/// A number no other packet of this run has: CPU, hook, and a count of its own for each pair of them. Programs interrupt
/// each other, a netfilter program even itself, so the count is atomic.
#[inline(always)]
pub fn new_identity(hook: Hook) -> u64 {
    let Some(sequence) = SEQUENCE.get_ptr_mut(hook as u32) else { return 0 };
    // SAFETY: this CPU's value.
    let number = unsafe { atomic::fetch_add(sequence, 1) } + 1;
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

/// Whether the skb at this address may be a packet that is followed.
#[inline(always)]
pub fn may_be_followed(skb: u64) -> bool {
    find(skb).is_some()
}

/// The packet with this skb, if it is followed; 0 if not, or if the skb has become another packet since.
///
/// # Safety
/// `extent` is the extent of the skb.
#[inline(always)]
pub unsafe fn of_followed(skb: u64, extent: &Extent) -> u64 {
    let Some(entry) = find(skb) else { return 0 };
    // SAFETY: as the caller vouches; a map value stays readable while the program runs.
    let (entry, fingerprint) = unsafe { (&*entry, Fingerprint::of(extent)) };
    if entry.fingerprint.is_same_packet(fingerprint) { entry.packet } else { 0 }
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

/// The packet that is followed under this address, if it still is the one that is there. For places where a packet neither
/// comes nor goes: nothing is decided and no map is written.
///
/// # Safety
/// `extent` is called at most once, and returns that of the live `struct sk_buff *` at this address.
#[inline(always)]
pub unsafe fn find_followed(skb: u64, extent: impl FnOnce() -> Extent) -> Option<(u64, Extent)> {
    let entry = find(skb)?;
    let extent = extent();
    // SAFETY: as the caller vouches; a map value stays readable while the program runs.
    unsafe { (*entry).fingerprint.is_same_packet(Fingerprint::of(&extent)) }
        .then(|| (unsafe { (*entry).packet }, extent))
}

/// Decides, and keeps the maps in step with what was decided. Returns the fingerprint, too, if it was needed.
///
/// # Safety
/// `skb` is a `struct sk_buff *` and `extent` its extent.
#[inline(always)]
pub unsafe fn identify(
    hook: Hook,
    skb: u64,
    owned: bool,
    place: impl Fn() -> u64,
    extent: &Extent,
) -> (Identity, Fingerprint) {
    let mut known_print = Fingerprint::NONE;
    if !seen::is_anything_followed() {
        return (Identity::Unknown, known_print);
    }
    // The two lookups are kept apart: the verifier refuses to see two pointers compared to null in one operation.
    if let Some(entry) = find(skb) {
        // SAFETY: as the caller vouches; a map value stays readable while the program runs.
        let (entry, fingerprint) = unsafe { (&mut *entry, Fingerprint::of(extent)) };
        known_print = fingerprint;
        // A packet that arrived somewhere does not leave its sender a second time: this is the next one to get the same
        // memory, alike to the byte. A bridged packet keeps its socket, so that alone would not do.
        let sent_anew = hook.is_transmit() && owned && entry.received == 1 && entry.origin == place();
        if entry.fingerprint.is_same_packet(fingerprint) && !sent_anew {
            if hook.is_receive() || hook.is_transmit() {
                entry.received = u64::from(hook.is_receive());
            }
            if entry.head != extent.head {
                // The old head may live on in TCP's write queue and is how a retransmission will be known.
                entry.head = extent.head;
                remember_head(&Entry { ..*entry });
            }
            return (Identity::Known(entry.packet), known_print);
        }
    }
    if let Some(entry) = find(extent.head) {
        // SAFETY: as above.
        let entry = unsafe { &*entry };
        if known_print.is_none() {
            // SAFETY: as the caller vouches.
            known_print = unsafe { Fingerprint::of(extent) };
        }
        // TCP sends clones of what stays in its write queue; a clone made on the way belongs to no socket.
        if hook.is_transmit() && owned {
            if entry.fingerprint.is_same_data(known_print) {
                return (Identity::Retransmission { original: entry.packet }, known_print);
            }
        } else if entry.fingerprint.is_same_packet(known_print) {
            return (Identity::Clone { parent: entry.packet }, known_print);
        }
    }
    (Identity::Unknown, known_print)
}
