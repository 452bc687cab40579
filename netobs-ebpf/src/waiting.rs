//! Packets that wait until a neighbour has said where it is.
//!
//! The kernel keeps them in the neighbour's own queue, and there a packet that a socket sends may be seen for the first
//! time, and the last. Where the answer comes at once it has left the queue before it is looked for there; so each is
//! remembered by its address, followed or not. That the addresses are forgotten again cannot be seen to: what is found
//! under one counts only for a packet that comes out of that very queue, one that is sent while the neighbour's answer is
//! taken in, or dropped (user space looks at the drop's reason).

use core::ptr::{addr_of, read_volatile};

use aya_ebpf::helpers::bpf_jiffies64;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use netobs_ebpf::{Counter, Hook, MISSING, Wait, nud, slot};

use crate::access::{Access, Probed, offset};
use crate::counters::count;
use crate::identity;
use crate::observe::{Spot, observe, read_place};
use crate::packet::Extent;
use crate::record::{EVENTS, NO_WAKEUP, device_name};
use crate::seen::{self, Time};

/// Of a queue that is longer than this nothing more is remembered: under a flood for somebody who does not answer the
/// first packets tell what there is to tell.
const TOLD: u32 = 128;
/// How many packets other CPUs may have put behind one before it is remembered.
const AT_ONCE: usize = 4;
/// In nanoseconds: longer than it takes to send a full queue. If the end of an update was not seen, it is over by then.
const UPDATE: u64 = 1_000_000_000;

/// The queue that a packet was put into.
#[repr(C)]
#[derive(Clone, Copy)]
struct Queued {
    neighbour: u64,
    /// In nanoseconds; 0 if not known.
    since: u64,
    jiffies: u64,
}

/// What happened to a neighbour's entry.
#[repr(C)]
#[derive(Clone, Copy)]
struct Resolution {
    /// When it was made, in nanoseconds; 0 if not known.
    created: u64,
    created_jiffies: u64,
    /// Since when its answer is being taken in; 0 if it is not.
    answered: u64,
}

/// By the address of the skb.
#[map]
static WAITING: LruHashMap<u64, Queued> = LruHashMap::with_max_entries(4096, 0);

/// By the address of the neighbour's entry.
#[map]
static NEIGHBOURS: LruHashMap<u64, Resolution> = LruHashMap::with_max_entries(1024, 0);

/// When a packet was last remembered.
#[unsafe(no_mangle)]
static LAST_WAIT: Time = Time::NEVER;

/// Whether a packet may be waiting.
#[inline(always)]
pub fn is_any() -> bool {
    LAST_WAIT.is_lately()
}

/// A neighbour's entry, as a plain number: to the verifier a program's argument is a pointer, which may be neither a key
/// nor compared.
#[derive(Clone, Copy)]
pub struct Neighbour(u64);

impl Neighbour {
    /// What the helper copies out of the program's own stack is a number of unknown value (6.1 to 7.0).
    #[inline(always)]
    pub fn new(neighbour: *const u8) -> Self {
        // SAFETY: the source is a variable of this function.
        Self(unsafe { Probed::read(addr_of!(neighbour).cast(), 0) })
    }

    /// A field of `struct neighbour`, or zero.
    #[inline(always)]
    fn read<T: Copy>(self, offset: u32) -> T {
        // SAFETY: the helper behind Probed checks the address.
        unsafe { Probed::read(self.0 as *const u8, offset) }
    }

    /// The entry was made, and a packet is about to be put into its queue.
    #[inline(always)]
    pub fn created(self) {
        // SAFETY: the helpers have no preconditions.
        let (created, created_jiffies) = unsafe { (bpf_ktime_get_ns(), bpf_jiffies64()) };
        let _ = NEIGHBOURS.insert(&self.0, &Resolution { created, created_jiffies, answered: 0 }, 0);
    }

    /// A packet was put into its queue, a moment ago.
    #[inline(always)]
    pub fn queued(self) {
        // SAFETY: the helper has no preconditions.
        let now = unsafe { bpf_ktime_get_ns() };
        let last = self.last();
        if last == 0 || self.is_crowded() {
            return;
        }
        self.remember(last, now, true);
        let mut packet = neighbour_followed(last);
        if packet == 0 {
            // SAFETY: the helper behind Probed checks every address.
            unsafe { observe::<Probed>(Spot::new(Hook::NeighEventSendDone), last as *const u8) };
            packet = neighbour_followed(last);
        }
        if packet != 0 {
            record_wait(self.0, packet, now, Hook::NeighEventSendDone as u64);
        }
    }

    /// It is about to be updated, to this state.
    #[inline(always)]
    pub fn updating(self, state: u8) {
        let last = self.last();
        if last == 0 || self.read::<u8>(offset!(neigh_state)) & nud::VALID != 0 {
            return;
        }
        // Where a neighbour is on this machine, its answer is taken in before the kernel says that a packet was queued:
        // all that is known is when the entry was made, and that counts if it was made for this packet.
        let mut resolution = Resolution { created: 0, created_jiffies: 0, answered: 0 };
        if let Some(known) = NEIGHBOURS.get_ptr(&self.0) {
            // SAFETY: a map value stays readable while the program runs.
            resolution = unsafe { *known };
        }
        let asked: u64 = self.read(offset!(neigh_updated));
        let is_new = resolution.created != 0 && asked.wrapping_sub(resolution.created_jiffies) <= 1;
        if !self.is_crowded() {
            self.remember(last, if is_new { resolution.created } else { 0 }, false);
        }
        if state & nud::VALID == 0 {
            return;
        }
        // SAFETY: the helper has no preconditions.
        resolution.answered = unsafe { bpf_ktime_get_ns() };
        let _ = NEIGHBOURS.insert(&self.0, &resolution, 0);
    }

    /// It was updated, and what waited for it is sent.
    #[inline(always)]
    pub fn updated(self) {
        if let Some(resolution) = NEIGHBOURS.get_ptr_mut(&self.0) {
            // SAFETY: a map value stays there while the program runs.
            unsafe { (*resolution).answered = 0 };
        }
    }

    #[inline(always)]
    fn queue(self) -> u64 {
        self.0.wrapping_add(u64::from(offset!(neigh_queue)))
    }

    /// The packet at the end of its queue, or 0.
    #[inline(always)]
    fn last(self) -> u64 {
        if offset!(neigh_queue) == MISSING {
            return 0;
        }
        let last = self.read(offset!(neigh_queue) + offset!(list_last));
        if last == self.queue() { 0 } else { last }
    }

    #[inline(always)]
    fn is_crowded(self) -> bool {
        self.read::<u32>(offset!(neigh_queue) + offset!(list_length)) > TOLD
    }

    /// Remembers the last packets in its queue that are not yet remembered, and if `is_last_new` the last in any case.
    #[inline(always)]
    fn remember(self, last: u64, since: u64, is_last_new: bool) {
        neighbour_remember(self.0, last, since, u64::from(is_last_new));
        LAST_WAIT.note();
    }
}

/// Exported so that it is verified by itself, as `fingerprint_hash` is.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn neighbour_remember(neighbour: u64, last: u64, since: u64, is_last_new: u64) -> u64 {
    let neighbour = Neighbour(neighbour);
    let asked: u64 = neighbour.read(offset!(neigh_updated));
    let mut skb = last;
    for index in 0..AT_ONCE {
        // SAFETY: a map value stays readable while the program runs.
        let is_known = WAITING.get_ptr(&skb).is_some_and(|queued| unsafe {
            // An older one is of a packet that is gone.
            (*queued).neighbour == neighbour.0 && (*queued).jiffies >= asked
        });
        if !is_known || is_last_new != 0 && index == 0 {
            // SAFETY: the helper has no preconditions.
            let jiffies = unsafe { bpf_jiffies64() };
            let _ = WAITING.insert(&skb, &Queued { neighbour: neighbour.0, since, jiffies }, 0);
        }
        // SAFETY: the helper behind Probed checks the address.
        skb = unsafe { Probed::read(skb as *const u8, offset!(skb_previous)) };
        if skb == neighbour.queue() || skb == 0 {
            break;
        }
    }
    0
}

/// The packet with this skb, if it is followed; else 0. Exported as well.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn neighbour_followed(skb: u64) -> u64 {
    if !seen::is_anything_followed() {
        return 0;
    }
    // SAFETY: the helper behind Probed checks every address.
    let extent = || unsafe { Extent::of::<Probed>(Hook::NeighEventSendDone, skb as *const u8) };
    // SAFETY: as above; it is that skb's extent.
    unsafe { identity::find_followed(skb, extent) }.map_or(0, |(packet, _)| packet)
}

/// A packet was recorded at a place that it may have come to out of a neighbour's queue: records that, once.
#[inline(always)]
pub fn over(hook: Hook, skb: u64, packet: u64) {
    let end = if hook.is_free() { Hook::KfreeSkb } else { Hook::NeighUpdate };
    wait_over(&[skb, packet, end as u64]);
}

/// Exported so that it is verified by itself, and with its arguments in memory, both as `fingerprint_hash`.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn wait_over(of: *const [u64; 3]) -> u64 {
    if of.is_null() {
        return 0;
    }
    // SAFETY: not null, so it is the caller's array.
    let [skb, packet, hook] = unsafe { read_volatile(of) };
    let Some(queued) = WAITING.get_ptr(&skb) else { return 0 };
    // SAFETY: a map value stays readable while the program runs.
    let Queued { neighbour, since, .. } = unsafe { *queued };
    if hook == Hook::NeighUpdate as u64 {
        let Some(resolution) = NEIGHBOURS.get_ptr(&neighbour) else { return 0 };
        // SAFETY: as above; the helper has no preconditions.
        let (answered, now) = unsafe { ((*resolution).answered, bpf_ktime_get_ns()) };
        if answered == 0 || now.wrapping_sub(answered) > UPDATE {
            return 0;
        }
    }
    let _ = WAITING.remove(&skb);
    record_wait(neighbour, packet, since, hook)
}

/// Exported so that it is verified by itself.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn record_wait(neighbour: u64, packet: u64, since: u64, hook: u64) -> u64 {
    let hook = hook as u8;
    let neighbour = Neighbour(neighbour);
    let device: *const u8 = neighbour.read(offset!(neigh_device));
    // SAFETY: the helper behind Probed checks every address.
    let (place, name, family, link_address_length, first_probe) = unsafe {
        let table: *const u8 = neighbour.read(offset!(neigh_table));
        let values: *const u8 = neighbour.read(offset!(neigh_parms));
        let index = offset!(neigh_unicast_probes);
        // Counting begins as if the neighbour had been asked that often where it was last seen.
        let first: u32 =
            if index == MISSING { u32::MAX } else { Probed::read(values, offset!(neigh_values) + index * 4) };
        (
            read_place(device, core::ptr::null()),
            device_name(device),
            Probed::read::<u32>(table, offset!(neigh_family)) as u8,
            Probed::read::<u8>(device, offset!(dev_address_length)),
            first,
        )
    };
    let address = match family {
        AF_INET => [neighbour.read(offset!(neigh_key)), 0, 0, 0],
        _ => neighbour.read(offset!(neigh_key)),
    };
    let wait = Wait {
        // SAFETY: the helper has no preconditions.
        time: unsafe { bpf_ktime_get_ns() },
        packet,
        since,
        netns: (place >> 32) as u32,
        ifindex: place as u32,
        device: name,
        address,
        link_address: neighbour.read(offset!(neigh_address)),
        probes: neighbour.read::<u32>(offset!(neigh_probes)).saturating_sub(first_probe),
        hook,
        family,
        state: neighbour.read(offset!(neigh_state)),
        is_dead: neighbour.read(offset!(neigh_dead)),
        link_address_length,
        reserved: [0; 7],
    };
    let hook = match hook {
        _ if hook == Hook::KfreeSkb as u8 => Hook::KfreeSkb,
        _ if hook == Hook::NeighUpdate as u8 => Hook::NeighUpdate,
        _ => Hook::NeighEventSendDone,
    };
    let slot = slot(hook, 0);
    count(slot, Counter::Emitted);
    let Some(mut entry) = EVENTS.reserve::<Wait>(0) else {
        count(slot, Counter::LostRing);
        return 0;
    };
    entry.write(wait);
    entry.submit(NO_WAKEUP);
    1
}

const AF_INET: u8 = 2;
