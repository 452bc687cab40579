//! Writes one event into the ring buffer.

use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{PerCpuArray, RingBuf};
use netobs_ebpf::{CALL_BYTES, Call, Conntrack, Counter, Event, Hook, MISSING, flags, slot};

use crate::access::{Access, LAYOUT, Probed, offset};
use crate::counters::count;
use crate::packet::{Extent, Header};

/// Large enough to ride out a reader that is not scheduled for some milliseconds under a flood.
const RING_BYTES: u32 = 16 << 20;
/// Above this fill no new packet is followed, so that those already followed stay whole.
const RING_BUSY: u64 = RING_BYTES as u64 / 2;

/// A packet is through all hooks of this machine within this time, unless it waits in a queue longer than a busy softirq
/// leaves it in one.
const ON_THE_WAY: u64 = 10_000_000;

#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// `BPF_RB_NO_WAKEUP`: the reader polls; an interrupt per packet costs more than the rest of the program.
pub const NO_WAKEUP: u64 = 1;
/// `BPF_RB_AVAIL_DATA`
const AVAILABLE: u64 = 0;
/// `NFCT_INFOMASK`
pub const CT_INFO: u64 = 7;

/// When the ring was last too full, per CPU; 0 if that is over.
#[map]
static BUSY: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Whether to let a new packet go. For a moment after the ring was too full, so that a packet that was let go at its
/// first hook is not taken for a new one at its next.
#[inline(always)]
pub fn is_ring_busy() -> bool {
    let Some(since) = BUSY.get_ptr_mut(0) else { return false };
    // SAFETY: this CPU's value; an interrupt in between only writes a newer time. The helper has no preconditions.
    unsafe {
        if EVENTS.query(AVAILABLE) > RING_BUSY {
            *since = bpf_ktime_get_ns();
            return true;
        }
        if *since == 0 {
            return false;
        }
        let over = bpf_ktime_get_ns().wrapping_sub(*since) > ON_THE_WAY;
        if over {
            *since = 0;
        }
        !over
    }
}

/// What is known of a sighting beside the packet itself.
pub struct Sighting {
    pub hook: Hook,
    pub skb: *const u8,
    pub device: *const u8,
    /// Namespace and device, see `observe::place`.
    pub place: u64,
    pub family: u16,
    pub packet: u64,
    pub parent: u64,
    pub flags: u16,
    pub location: u64,
    pub reason: u32,
    /// See [`Event::fdb`].
    pub fdb: u8,
}

/// # Safety
/// The pointers in `sighting` are those of a live packet and its device.
#[inline(always)]
pub unsafe fn record<A: Access>(sighting: &Sighting, extent: &Extent, header: &MaybeUninit<Header>) {
    let slot = slot(sighting.hook, 0);
    count(slot, Counter::Emitted);
    let Some(mut entry) = EVENTS.reserve::<Event>(0) else {
        count(slot, Counter::LostRing);
        return;
    };
    let event = entry.as_mut_ptr();
    let Sighting { skb, device, .. } = *sighting;
    // SAFETY: every field is written exactly once; the reads are of struct sk_buff and struct net_device.
    unsafe {
        (*event).time = bpf_ktime_get_ns();
        (*event).packet = sighting.packet;
        (*event).parent = sighting.parent;
        (*event).location = sighting.location;
        (*event).reason = sighting.reason;
        (*event).netns = (sighting.place >> 32) as u32;
        (*event).length = extent.length;
        (*event).mark = A::read(skb, offset!(skb_mark));
        (*event).family = sighting.family;
        (*event).protocol = u16::from_be(A::read(skb, offset!(skb_protocol)));
        (*event).network_offset = extent.network_offset() as u8;
        (*event).captured = extent.captured as u8;
        (*event).hook = sighting.hook as u8;
        (*event).packet_type = A::read_bits(skb, &LAYOUT.skb_pkt_type);
        (*event).fdb = sighting.fdb;
        (*event).reserved = 0;
        (*event).ifindex = sighting.place as u32;
        (*event).device = if device.is_null() { [0; 2] } else { device_name(device) };
        let ethernet = if extent.ethernet { flags::ETHERNET } else { 0 };
        let conntrack = read_conntrack::<A>(skb, addr_of_mut!((*event).conntrack));
        (*event).flags = sighting.flags | ethernet | conntrack;
        addr_of_mut!((*event).header).write(header.assume_init_read());
    }
    entry.submit(NO_WAKEUP);
}

/// Writes what is known of a call, and from `header` on the first bytes of the packet, unless that is null.
pub fn record_call(call: Call, header: *const u8) {
    let slot = slot(Hook::Function, call.site);
    count(slot, Counter::Emitted);
    let Some(mut entry) = EVENTS.reserve::<Call>(0) else {
        count(slot, Counter::LostRing);
        return;
    };
    let written = entry.write(call);
    if !header.is_null() {
        // SAFETY: the helper checks the source, and zeroes the target if it cannot be read.
        unsafe { bpf_probe_read_kernel(written.header.as_mut_ptr().cast(), CALL_BYTES as u32, header.cast()) };
    }
    entry.submit(NO_WAKEUP);
}

/// # Safety
/// `device` is a `struct net_device *`.
#[inline(always)]
pub unsafe fn device_name(device: *const u8) -> [u64; 2] {
    let name = offset!(dev_name);
    // SAFETY: as the caller vouches; an array is not a type the verifier lets a program load from directly.
    unsafe { Probed::read(device, name) }
}

/// Returns [`flags::CONNTRACK`] if the packet carries an entry, or is marked as untracked.
///
/// # Safety
/// `skb` is a `struct sk_buff *`.
#[inline(always)]
unsafe fn read_conntrack<A: Access>(skb: *const u8, conntrack: *mut Conntrack) -> u16 {
    // SAFETY: as the caller vouches. The entry's memory is read by address, since its type is lost in the low bits.
    unsafe {
        let nfct: u64 = A::read(skb, offset!(skb_nfct));
        let entry = (nfct & !CT_INFO) as *const u8;
        (*conntrack).info = (nfct & CT_INFO) as u8;
        (*conntrack).reserved = [0; 5];
        let tuples = offset!(ct_orig);
        let stride = offset!(ct_tuple_stride);
        if entry.is_null() || tuples == MISSING || stride == MISSING {
            (*conntrack).orig = [0; 5];
            (*conntrack).reply = [0; 5];
            (*conntrack).status = 0;
            (*conntrack).mark = 0;
            (*conntrack).zone = 0;
            return if nfct == 0 { 0 } else { flags::CONNTRACK };
        }
        let orig = entry.wrapping_add(tuples as usize + offset!(ct_tuple) as usize);
        copy_tuple(orig, addr_of_mut!((*conntrack).orig));
        copy_tuple(orig.wrapping_add(stride as usize), addr_of_mut!((*conntrack).reply));
        (*conntrack).status = Probed::read(entry, offset!(ct_status));
        (*conntrack).mark = Probed::read(entry, offset!(ct_mark));
        (*conntrack).zone = Probed::read(entry, offset!(ct_zone));
        flags::CONNTRACK
    }
}

/// # Safety
/// `target` is writable; the helper checks `source`, and zeroes the target if it cannot be read.
#[inline(always)]
unsafe fn copy_tuple(source: *const u8, target: *mut [u64; 5]) {
    // SAFETY: as above.
    unsafe { bpf_probe_read_kernel(target.cast(), size_of::<[u64; 5]>() as u32, source.cast()) };
}
