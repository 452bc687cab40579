//! Counts drops per CPU in a table, so that nothing per packet reaches user space.

use core::mem::MaybeUninit;
use core::ptr::null;

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuHashMap;
use netobs_ebpf::{DROP_PROGRAMS, DROP_ROWS, DropCounts, DropKey, DropSettings, Hook};

use crate::access::{Access, Probed, Typed, constant, offset};
use crate::counting::{Counting, DROP_STATE};
use crate::filter::matches_filter;
use crate::packet::{Extent, Header, read_header};

/// Filled by user space before the object is loaded.
#[unsafe(no_mangle)]
pub static DROP_SETTINGS: DropSettings = DropSettings::NONE;

/// Never deleted from while programs run: an entry that is there stays, so that every increment is read some time.
#[map]
static DROPS: PerCpuHashMap<DropKey, DropCounts> = PerCpuHashMap::with_max_entries(DROP_ROWS, 0);

/// `BPF_NOEXIST`: only insert, since another CPU may be inserting the same key.
const NEW: u64 = 1;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// Extension headers of IPv6 that give the next protocol in their first byte: hop-by-hop options, routing, fragment,
/// destination options.
const EXTENSIONS: [u8; 4] = [0, 43, 44, 60];

/// The arguments of the tracepoint.
pub struct Dropped {
    pub skb: *const u8,
    pub location: u64,
    pub reason: u32,
    /// The socket that did not take it, or null.
    pub receiver: *const u8,
}

/// Counts a drop if it fulfils the conditions and the filter.
///
/// # Safety
/// `dropped` is what the tracepoint was called with.
#[inline(always)]
pub unsafe fn count(dropped: &Dropped, by: Counting) {
    let skb = dropped.skb;
    // SAFETY: the offsets are those of the structs the pointers are to.
    let (extent, device, socket) = unsafe {
        let device: *const u8 = Typed::read(skb, offset!(skb_dev));
        let socket: *const u8 = Typed::read(skb, offset!(skb_sk));
        (Extent::of::<Typed>(Hook::KfreeSkb, skb), device, socket)
    };
    let socket = if dropped.receiver.is_null() { socket } else { dropped.receiver };
    let mut key = DropKey {
        location: dropped.location,
        device: [0; 2],
        cookie: 0,
        reason: dropped.reason,
        netns: 0,
        ifindex: 0,
        ethertype: 0,
        protocol: 0,
        reserved: 0,
    };
    // SAFETY: as above; the device's memory is only followed if it is one.
    unsafe {
        let net: *const u8 = if has_device(skb) {
            key.ifindex = Typed::read(device, offset!(dev_ifindex));
            key.device = Probed::read(device, offset!(dev_name));
            Typed::read(device, offset!(dev_net))
        } else if socket.is_null() {
            null()
        } else {
            Typed::read(socket, offset!(sock_net))
        };
        if !net.is_null() {
            key.netns = Typed::read(net, offset!(net_inum));
            key.cookie = Typed::read(net, constant(&DROP_SETTINGS.net_cookie));
        }
        key.ethertype = u16::from_be(Typed::read(skb, offset!(skb_protocol)));
    }
    if !meets_conditions(&key) {
        return;
    }
    let mut header = MaybeUninit::<Header>::uninit();
    // SAFETY: the extent was just taken.
    if !unsafe { read_header(&extent, &mut header) } {
        // It was dropped all the same. A filter sees zeroes.
        header.write([0; netobs_ebpf::HEADER_BYTES / 8]);
    }
    if !matches_filter(&extent, &header) {
        return;
    }
    if constant(&DROP_SETTINGS.coarse) == 0 {
        // SAFETY: the helper behind it checks the address.
        key.protocol = unsafe { protocol(&extent, key.ethertype) };
    } else {
        key.device = [0; 2];
        key.ifindex = 0;
        key.ethertype = 0;
    }
    add(&key, by);
}

/// Whether `skb->dev` is a device: of a datagram in a UDP socket's queue it is something else
/// (`udp_set_dev_scratch`, 4.12), and a drop for want of room there comes after that. A kernel address has its upper
/// byte set on every 64-bit machine.
///
/// # Safety
/// `skb` is a `struct sk_buff *`.
#[inline(always)]
unsafe fn has_device(skb: *const u8) -> bool {
    // SAFETY: as the caller vouches. Read by the helper, since to the verifier the pointer is no number.
    let address: u64 = unsafe { Probed::read(skb, offset!(skb_dev)) };
    address >> 56 == 0xff
}

#[inline(always)]
fn meets_conditions(key: &DropKey) -> bool {
    let netns = constant(&DROP_SETTINGS.conditions.netns);
    let device = constant(&DROP_SETTINGS.conditions.device);
    (netns == 0 || netns == key.netns) && (device[0] == 0 || device == key.device)
}

/// The protocol above IP.
///
/// # Safety
/// `extent` was taken from a live packet.
#[inline(always)]
unsafe fn protocol(extent: &Extent, ethertype: u16) -> u8 {
    let ip = (extent.head as *const u8).wrapping_add(extent.network as usize);
    // SAFETY: the helper checks the address.
    unsafe {
        match ethertype {
            IPV4 => Probed::read(ip, 9),
            IPV6 => {
                let next: u8 = Probed::read(ip, 6);
                if EXTENSIONS.contains(&next) { Probed::read(ip, 40) } else { next }
            }
            _ => 0,
        }
    }
}

/// Adds one to a row.
#[inline(always)]
fn add(key: &DropKey, by: Counting) {
    if add_to_existing(key, by) {
        return;
    }
    let mut first: DropCounts = [0; DROP_PROGRAMS];
    first[by as usize] = 1;
    // Either this CPU made the row, or another was quicker, or there is no room.
    if DROPS.insert(key, first, NEW).is_ok() || add_to_existing(key, by) {
        return;
    }
    if let Some(state) = DROP_STATE.get_ptr_mut(0) {
        // SAFETY: this CPU's value, a word for each program.
        unsafe { (*state).overflow[by as usize] += 1 };
    }
}

#[inline(always)]
fn add_to_existing(key: &DropKey, by: Counting) -> bool {
    let Some(counts) = DROPS.get_ptr_mut(key) else { return false };
    // SAFETY: this CPU's value, a word for each program; the kernel runs no program twice at once on one CPU.
    unsafe { (*counts)[by as usize] += 1 };
    true
}
