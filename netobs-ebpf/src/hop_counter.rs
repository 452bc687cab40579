//! Counts packets per CPU where they enter and leave devices, so that nothing per packet reaches user space.
//!
//! All four hooks run with softirqs off, so nothing that sends or receives interrupts them, and each has rows of its own.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{PerCpuArray, PerCpuHashMap};
use netobs_ebpf::{HOP_ROWS, Hook, HopCounts, HopKey};

use crate::access::{Access, Typed, constant, offset};
use crate::drop_counter::DROP_SETTINGS;
use crate::packet::Extent;
use crate::record::device_name;

/// `BPF_F_NO_PREALLOC`: memory for the rows there are, not for those there may be.
const AS_NEEDED: u32 = 1;
/// `BPF_NOEXIST`: only insert, since another CPU may be inserting the same key.
const NEW: u64 = 1;

#[map]
static HOPS: PerCpuHashMap<HopKey, HopCounts> = PerCpuHashMap::with_max_entries(HOP_ROWS, AS_NEEDED);

/// Packets for which there was no row.
#[map]
static HOPS_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Counts a packet on its device.
///
/// # Safety
/// `skb` is a live `struct sk_buff *` that has a device.
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
        (key, u64::from(Extent::of::<Typed>(hook, skb).length), device)
    };
    if !add(&key, bytes) {
        // SAFETY: checked for null.
        insert(&key, bytes, unsafe { device_name(device) });
    }
}

/// Counts something that a namespace did because of a packet.
///
/// # Safety
/// `skb` is a live `struct sk_buff *` that has a device, or a socket.
#[inline(always)]
pub unsafe fn count_answer(hook: Hook, skb: *const u8) {
    // SAFETY: the offsets are those of the structs the pointers are to.
    let cookie = unsafe {
        let device: *const u8 = Typed::read(skb, offset!(skb_dev));
        let net: *const u8 = if device.is_null() {
            let socket: *const u8 = Typed::read(skb, offset!(skb_sk));
            if socket.is_null() {
                return;
            }
            Typed::read(socket, offset!(sock_net))
        } else {
            Typed::read(device, offset!(dev_net))
        };
        Typed::read(net, constant(&DROP_SETTINGS.net_cookie))
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
