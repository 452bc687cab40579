//! Counts drops per CPU in a table, so that nothing per packet reaches user space.
//!
//! The kernel does not run a tracing program while the same program runs on the same CPU (`__bpf_trace_run`): a drop in a
//! softirq that interrupts the counting of another drop would be lost, and where tracing can be preempted (7.0) all drops
//! of the task that runs instead. So there are several programs, run one after the other for each call of the tracepoint.
//! The first counts, and notes which call it counted; each later one counts what no note is found of.

use core::mem::MaybeUninit;
use core::ptr::{addr_of, addr_of_mut, null, read_volatile, write_volatile};

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_map_lookup_percpu_elem;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{PerCpuArray, PerCpuHashMap};
use netobs_ebpf::{DROP_PROGRAMS, DROP_ROWS, DropCounts, DropKey, DropSettings, DropState, Hook, NOTE_SETS, NOTE_WAYS};

use crate::access::{Access, Probed, Typed, constant, offset};
use crate::filter::matches_filter;
use crate::packet::{Extent, Header, read_header};

/// Filled by user space before the object is loaded.
#[unsafe(no_mangle)]
pub static DROP_SETTINGS: DropSettings = DropSettings::NONE;

/// Never deleted from while programs run: an entry that is there stays, so that every increment is read some time.
#[map]
static DROPS: PerCpuHashMap<DropKey, DropCounts> = PerCpuHashMap::with_max_entries(DROP_ROWS, 0);

#[map]
static DROP_STATE: PerCpuArray<DropState> = PerCpuArray::with_max_entries(1, 0);

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

/// Which of the programs counts, in the order in which they run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    First,
    Second,
    Third,
}

/// CPUs that are searched for the note of a task that went to another one between two programs.
const CPUS: u32 = 256;

/// Whether this program is to count the call, and notes that it does.
#[inline(always)]
pub fn is_to_count(ctx: &impl EbpfContext, by: Counting) -> bool {
    let Some(state) = DROP_STATE.get_ptr_mut(0) else { return false };
    // SAFETY: this CPU's value, and no other run of this program is on this CPU.
    unsafe {
        let arguments = place(ctx, state, by);
        if by != Counting::First {
            // The task may have come from another CPU, be it to one where the first is interrupted.
            if is_noted(state, arguments, by) || is_noted_elsewhere(arguments, by) {
                return false;
            }
            (*state).recovered[by as usize] += 1;
        }
        if by != Counting::Third {
            note(state, arguments, by);
        }
    }
    true
}

/// Notes that this call is counted.
///
/// # Safety
/// `state` is this CPU's, and the program is not the last.
#[inline(always)]
unsafe fn note(state: *mut DropState, arguments: u64, by: Counting) {
    // SAFETY: as the caller vouches; the indices are below the lengths.
    unsafe {
        let set = addr_of_mut!((*state).noted[by as usize][set_of(arguments)]);
        // A note of the same stack was never taken, and its call is over.
        for way in 0..NOTE_WAYS {
            if stack_of((*set)[way]) == stack_of(arguments) {
                (*set)[way] = arguments;
                return;
            }
        }
        for way in 0..NOTE_WAYS {
            if (*set)[way] == 0 {
                (*set)[way] = arguments;
                return;
            }
        }
        let next = (*state).next_way[by as usize];
        (*state).next_way[by as usize] = next.wrapping_add(1);
        (*set)[next as usize % NOTE_WAYS] = arguments;
    }
}

/// Where the call's arguments lie. To the verifier that is a pointer it lets nobody reckon with, but what is read from a
/// map is a number.
///
/// # Safety
/// `state` is this CPU's.
#[inline(always)]
unsafe fn place(ctx: &impl EbpfContext, state: *mut DropState, by: Counting) -> u64 {
    // SAFETY: each program has a word of its own.
    unsafe {
        let word = addr_of_mut!((*state).arguments[by as usize]);
        write_volatile(word, ctx.as_ptr() as u64);
        read_volatile(word)
    }
}

/// A number for the stack: tasks and softirqs have at least 16 KiB each, aligned to that, on 64-bit machines. A larger
/// one has several numbers, which costs room for notes only. The place on a task's stack is another one for each of its
/// system calls (`randomize_kstack_offset`), so notes of an earlier call's place would pile up.
#[inline(always)]
const fn stack_of(arguments: u64) -> u64 {
    arguments >> 14
}

/// Fibonacci hashing: the upper bits of the product depend on all bits of the number.
#[inline(always)]
const fn set_of(arguments: u64) -> usize {
    (stack_of(arguments).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - NOTE_SETS.ilog2())) as usize
}

/// Whether a CPU has a note of this call by an earlier program. The last program takes it away.
///
/// # Safety
/// `state` is valid.
#[inline(always)]
unsafe fn is_noted(state: *mut DropState, arguments: u64, by: Counting) -> bool {
    // SAFETY: as the caller vouches; the indices are below the lengths.
    unsafe {
        for earlier in 0..by as usize {
            let set = addr_of_mut!((*state).noted[earlier][set_of(arguments)]);
            for way in 0..NOTE_WAYS {
                if (*set)[way] == arguments {
                    if by == Counting::Third {
                        (*set)[way] = 0;
                    }
                    return true;
                }
            }
        }
    }
    false
}

/// As above, of any CPU (`bpf_map_lookup_percpu_elem`, 5.19).
#[inline(always)]
fn is_noted_elsewhere(arguments: u64, by: Counting) -> bool {
    let first = 0_u32;
    for cpu in 0..CPUS {
        // SAFETY: the map is an array, the key a variable of this function.
        let state =
            unsafe { bpf_map_lookup_percpu_elem(addr_of!(DROP_STATE).cast_mut().cast(), addr_of!(first).cast(), cpu) };
        if state.is_null() {
            return false;
        }
        // SAFETY: checked. That CPU may write other notes meanwhile, but not this one.
        if unsafe { is_noted(state.cast(), arguments, by) } {
            return true;
        }
    }
    false
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
