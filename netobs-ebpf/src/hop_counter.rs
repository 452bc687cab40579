//! Counts packets per CPU where they enter and leave devices, so that nothing per packet reaches user space.
//!
//! All four hooks run with softirqs off, so nothing that sends or receives interrupts them, and each has rows of its own.
//!
//! A device has a place that its numbers lead to without searching: the first that comes there takes it for good, and
//! whoever finds it taken is counted in a hash table, which costs several times as much.

use core::arch::asm;

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray, PerCpuHashMap};
use netobs_ebpf::{
    DEVICE_HOOKS, HOP_DEVICES, HOP_ROWS, Hook, HopCounts, HopDevice, HopKey, HopRow, hop_place, hop_row,
};

use crate::access::{Access, Typed, constant, offset};
use crate::drop_counter::DROP_SETTINGS;
use crate::record::device_name;
use crate::sample;

/// `BPF_F_NO_PREALLOC`: memory for the rows there are, not for those there may be.
const AS_NEEDED: u32 = 1;
/// `BPF_NOEXIST`: only insert, since another CPU may be inserting the same key.
const NEW: u64 = 1;
/// The least and the greatest length of a link-layer header in front of a received packet: Ethernet's, and room for
/// more.
const LINK_LAYER: core::ops::RangeInclusive<u32> = 14..=64;

#[map]
static HOP_DEVICE: Array<HopDevice> = Array::with_max_entries(HOP_DEVICES, 0);

#[map]
static HOP_ROW: PerCpuArray<HopRow> = PerCpuArray::with_max_entries(HOP_DEVICES * DEVICE_HOOKS as u32, 0);

/// Whatever has no place.
#[map]
static HOPS: PerCpuHashMap<HopKey, HopCounts> = PerCpuHashMap::with_max_entries(HOP_ROWS, AS_NEEDED);

/// Packets for which there was no row.
#[map]
static HOPS_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Counts a packet on its device.
///
/// # Safety
/// `skb` is a live `struct sk_buff *`.
#[inline(always)]
pub unsafe fn count(hook: Hook, skb: *const u8) {
    // SAFETY: the offsets are those of the structs the pointers are to.
    let (key, bytes, device) = unsafe {
        let device: *const u8 = Typed::read(skb, offset!(skb_dev));
        if device.is_null() {
            return;
        }
        let net: *const u8 = Typed::read(device, offset!(dev_net));
        let key = HopKey {
            cookie: Typed::read(net, constant(&DROP_SETTINGS.net_cookie)),
            ifindex: Typed::read(device, offset!(dev_ifindex)),
            hook: hook as u32,
        };
        (key, u64::from(length(hook, skb)), device)
    };
    // SAFETY: as above, and checked for null.
    unsafe {
        if let Some(row) = place(&key, device) {
            (*row).packets += 1;
            (*row).bytes += bytes;
            (*row).skb = skb as u64;
            sample::pass(hook, row);
        } else if !add(&key, bytes) {
            insert(&key, bytes, device_name(device));
        }
    }
}

/// Bytes from the link-layer header on. On the way out `skb->data` is there (`skb_reset_mac_header` in
/// `__dev_queue_xmit`), on the way in at what follows it, or at the network header of a device that has none.
///
/// # Safety
/// `skb` is a live `struct sk_buff *`.
#[inline(always)]
unsafe fn length(hook: Hook, skb: *const u8) -> u32 {
    // SAFETY: the offsets are those of struct sk_buff.
    unsafe {
        let length: u32 = Typed::read(skb, offset!(skb_len));
        if !matches!(hook, Hook::NetifRx | Hook::NetifReceiveSkb) {
            return length;
        }
        let (head, data): (u64, u64) = (Typed::read(skb, offset!(skb_head)), Typed::read(skb, offset!(skb_data)));
        let mac: u16 = Typed::read(skb, offset!(skb_mac_header));
        let header = (data.wrapping_sub(head) as u32).wrapping_sub(u32::from(mac));
        if LINK_LAYER.contains(&header) { length + header } else { length }
    }
}

/// The device's row at its own place.
///
/// # Safety
/// `device` is a `struct net_device *`.
#[inline(always)]
unsafe fn place(key: &HopKey, device: *const u8) -> Option<*mut HopRow> {
    let owner = key.owner();
    let place = hop_place(owner);
    let entry = HOP_DEVICE.get_ptr_mut(place)?;
    // SAFETY: a word that is written once; the name is written by who wrote it.
    unsafe {
        if (*entry).owner != owner {
            if owner == 0 || !take(entry.cast(), owner) {
                return None;
            }
            (*entry).name = device_name(device);
        }
    }
    HOP_ROW.get_ptr_mut(hop_row(place, key.hook))
}

/// Takes a place that is nobody's. Whether it is the owner's now.
///
/// # Safety
/// `place` is aligned and writable.
#[inline(always)]
unsafe fn take(place: *mut u64, owner: u64) -> bool {
    let mut before = 0_u64;
    // SAFETY: as the caller vouches. Compare-and-swap came with 5.12.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({place} + 0, r0, {owner})",
            place = in(reg) place,
            owner = in(reg) owner,
            inout("r0") before,
            options(nostack, preserves_flags),
        );
    }
    before == 0 || before == owner
}

/// Counts something that a namespace did because of a packet.
///
/// # Safety
/// `skb` is a live `struct sk_buff *`.
#[inline(always)]
pub unsafe fn count_answer<A: Access>(hook: Hook, skb: *const u8) {
    // SAFETY: the offsets are those of the structs the pointers are to.
    let cookie = unsafe {
        let device: *const u8 = A::read(skb, offset!(skb_dev));
        let net: *const u8 = if device.is_null() {
            let socket: *const u8 = A::read(skb, offset!(skb_sk));
            if socket.is_null() {
                return;
            }
            A::read(socket, offset!(sock_net))
        } else {
            A::read(device, offset!(dev_net))
        };
        A::read(net, constant(&DROP_SETTINGS.net_cookie))
    };
    let key = HopKey { cookie, ifindex: 0, hook: hook as u32 };
    if !add(&key, 0) {
        insert(&key, 0, [0; 2]);
    }
}

/// Makes a row for the first packet, unless there is one by now.
#[inline(always)]
fn insert(key: &HopKey, bytes: u64, device: [u64; 2]) {
    let first = HopCounts { packets: 1, bytes, device };
    // Either this CPU makes the row, or another was quicker, or there is no room.
    if HOPS.insert(key, first, NEW).is_ok() || add(key, bytes) {
        return;
    }
    if let Some(lost) = HOPS_LOST.get_ptr_mut(0) {
        // SAFETY: this CPU's value.
        unsafe { *lost += 1 };
    }
}

#[inline(always)]
fn add(key: &HopKey, bytes: u64) -> bool {
    let Some(counts) = HOPS.get_ptr_mut(key) else { return false };
    // SAFETY: this CPU's value, which nothing that interrupts us writes.
    unsafe {
        (*counts).packets += 1;
        (*counts).bytes += bytes;
    }
    true
}
