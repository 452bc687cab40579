//! The few steps every program takes.
//!
//! 1. Is this a packet that is followed already?
//! 2. If not, does it fulfil the conditions and the filter? Nothing is reserved or copied out before that.
//! 3. Record it, and keep the identity map in step.

use core::mem::MaybeUninit;
use core::ptr::{null, read_volatile};

use netobs_ebpf::{Conditions, Counter, Hook, flags, slot};

use crate::access::{Access, Probed, constant, offset};
use crate::counters::count;
use crate::current;
use crate::filter::matches_filter;
use crate::fingerprint::Fingerprint;
use crate::identity::{self, Entry, Identity};
use crate::packet::{Extent, Header, read_header};
use crate::record::{Sighting, device_name, is_ring_busy, record};
use crate::{bridge, rejected, seen, waiting};

/// Filled by user space before the object is loaded.
#[unsafe(no_mangle)]
static CONDITIONS: Conditions = Conditions { netns: 0, reserved: 0, device: [0; 2] };

/// Where a packet is, and what is known of it beside itself.
#[derive(Clone, Copy)]
pub struct Spot {
    pub hook: Hook,
    /// [`flags`] to begin with.
    pub flags: u16,
    /// See [`Event::location`](netobs_ebpf::Event::location).
    pub location: u64,
    pub reason: u32,
    /// The device, where it is known by other means than `skb->dev`; else null.
    pub device: *const u8,
}

impl Spot {
    pub const fn new(hook: Hook) -> Self {
        Self { hook, flags: 0, location: 0, reason: 0, device: null() }
    }
}

/// # Safety
/// `skb` is a live `struct sk_buff *` that `A` may read.
#[inline(always)]
pub unsafe fn observe<A: Access>(spot: Spot, skb: *const u8) {
    let Spot { hook, location, reason, .. } = spot;
    let slot = slot(hook, 0);
    if !hook.may_be_first() && !seen::is_anything_followed() {
        return;
    }
    if !hook.is_free() {
        current::set(skb as u64);
    }
    // SAFETY: the offsets are those of the structs the pointers are to.
    let (extent, device, socket) = unsafe {
        let device: *const u8 = if spot.device.is_null() { A::read(skb, offset!(skb_dev)) } else { spot.device };
        let socket: *const u8 = A::read(skb, offset!(skb_sk));
        (Extent::of::<A>(hook, skb), device, socket)
    };
    // Only when needed: for a packet in a UDP socket's queue `skb->dev` is no pointer (`udp_set_dev_scratch`, 4.12), and
    // though following it reads as zero, it is slow.
    let place = || place(device, socket);
    // SAFETY: as the caller vouches.
    let (identity, known_print) = unsafe { identity::identify(hook, skb as u64, !socket.is_null(), place, &extent) };

    let mut sighting = Sighting {
        hook,
        skb,
        device,
        place: 0,
        family: 0,
        packet: 0,
        parent: 0,
        flags: spot.flags | if socket.is_null() { 0 } else { flags::OWNED },
        location,
        reason,
        fdb: 0,
    };
    match identity {
        Identity::Known(packet) => sighting.packet = packet,
        Identity::Clone { parent } if !hook.may_be_first() => {
            sighting.packet = parent;
            sighting.flags |= flags::COPY;
        }
        Identity::Clone { parent } => {
            sighting.parent = parent;
            sighting.flags |= flags::FIRST | flags::CLONE;
        }
        Identity::Retransmission { original } => {
            sighting.parent = original;
            sighting.flags |= flags::FIRST | flags::RETRANSMIT;
        }
        Identity::Unknown if !hook.may_be_first() => return,
        Identity::Unknown => sighting.flags |= flags::FIRST,
    }
    let must_match = sighting.flags & flags::FIRST != 0 && sighting.parent == 0;
    if must_match && (rejected::is_rejected(hook, skb as u64, &extent) || !meets_conditions(device, place)) {
        return;
    }
    let mut header = MaybeUninit::<Header>::uninit();
    // SAFETY: the extent was just taken.
    if !unsafe { read_header(&extent, &mut header) } {
        return;
    }
    if must_match && !matches_filter(&extent, &header) {
        rejected::reject(hook, skb as u64, &extent);
        return;
    }
    sighting.place = place();
    if sighting.flags & flags::FIRST != 0 {
        if is_ring_busy() {
            count(slot, Counter::Skipped);
            return;
        }
        sighting.packet = identity::new_identity(hook);
        if !hook.is_free() {
            let fingerprint = if known_print.is_none() {
                // SAFETY: as above.
                unsafe { Fingerprint::of(&extent) }
            } else {
                known_print
            };
            let received = u64::from(hook.is_receive());
            let entry =
                Entry { packet: sighting.packet, fingerprint, head: extent.head, origin: sighting.place, received };
            // A copy leaves the head to the packet that had it first.
            let remembered = if sighting.parent == 0 {
                identity::remember(skb as u64, &entry)
            } else {
                identity::remember_address(skb as u64, &entry)
            };
            if !remembered {
                count(slot, Counter::LostTracking);
                return;
            }
        }
    }
    if !socket.is_null() {
        // SAFETY: a socket begins with struct sock_common, whatever kind it is.
        sighting.family = unsafe { A::read(socket, offset!(sock_family)) };
    }
    // SAFETY: as above.
    unsafe {
        sighting.fdb = bridge::look(hook, skb, &extent, &header);
        record::<A>(&sighting, &extent, &header);
    }
    if matches!(hook, Hook::NetDevQueue | Hook::KfreeSkb) && waiting::is_any() {
        waiting::over(hook, skb as u64, sighting.packet);
    }
    if hook.is_free() && sighting.flags & (flags::COPY | flags::FIRST) == 0 {
        identity::forget(skb as u64);
        // SAFETY: as above.
        if !unsafe { identity::is_shared::<A>(skb, extent.head) } {
            identity::forget(extent.head);
        }
    }
}

/// Inode number of the namespace in the upper half, index of the device in the lower. The namespace is the device's, or
/// the socket's when a packet has no device yet. The pointers are null, or to the structs their names say.
#[inline(always)]
pub fn place(device: *const u8, socket: *const u8) -> u64 {
    packet_place(&[device, socket])
}

/// Exported so that it is verified by itself, and with its arguments in memory, both as `fingerprint_hash`. A program
/// that reads a pointer through another one whose type the verifier knows is slow to load: 6.3 to 6.18 search the names
/// of all the kernel's types for each, on every path (`btf_nested_type_is_trusted`).
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn packet_place(of: *const [*const u8; 2]) -> u64 {
    if of.is_null() {
        return 0;
    }
    // SAFETY: not null, so it is the caller's array.
    let [device, socket] = unsafe { read_volatile(of) };
    read_place(device, socket)
}

/// As [`place`], for a function that is verified by itself already.
#[inline(always)]
pub fn read_place(device: *const u8, socket: *const u8) -> u64 {
    // SAFETY: the helper behind Probed checks every address.
    unsafe {
        let mut ifindex = 0_u32;
        let net: *const u8 = if !device.is_null() {
            ifindex = Probed::read(device, offset!(dev_ifindex));
            Probed::read(device, offset!(dev_net))
        } else if !socket.is_null() {
            Probed::read(socket, offset!(sock_net))
        } else {
            return 0;
        };
        let netns: u32 = Probed::read(net, offset!(net_inum));
        u64::from(netns) << 32 | u64::from(ifindex)
    }
}

#[inline(always)]
fn meets_conditions(device: *const u8, place: impl Fn() -> u64) -> bool {
    let netns = constant(&CONDITIONS.netns);
    if netns != 0 && netns != (place() >> 32) as u32 {
        return false;
    }
    let name = constant(&CONDITIONS.device);
    if name[0] == 0 {
        return true;
    }
    // SAFETY: checked for null; a struct net_device otherwise.
    !device.is_null() && unsafe { device_name(device) } == name
}
