//! Writes an event that carries something else than the packet's own bytes.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use netobs_ebpf::{Conntrack, Counter, Event, HEADER_BYTES, Hook, slot};

use crate::counters::count;
use crate::record::{EVENTS, NO_WAKEUP};

/// Words that an event has room for.
const WORDS: usize = HEADER_BYTES / 8;

/// What an event says beside its time, hook and load.
pub struct Note {
    pub hook: Hook,
    /// The packet it is about, or 0.
    pub packet: u64,
    /// Namespace and device, see `observe::place`.
    pub place: u64,
    pub device: [u64; 2],
}

/// Writes the event; its load stands where others have the packet's first bytes.
#[inline(always)]
pub fn note<T: Copy>(note: &Note, load: &T) {
    const { assert!(size_of::<T>() <= HEADER_BYTES && size_of::<T>().is_multiple_of(4)) };
    let slot = slot(note.hook, 0);
    count(slot, Counter::Emitted);
    let Some(mut entry) = EVENTS.reserve::<Event>(0) else {
        count(slot, Counter::LostRing);
        return;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: every field is written; the load is no longer than the words and a struct of integers without padding.
    unsafe {
        (*event).time = bpf_ktime_get_ns();
        (*event).packet = note.packet;
        (*event).parent = 0;
        (*event).location = 0;
        (*event).reason = 0;
        (*event).netns = (note.place >> 32) as u32;
        (*event).ifindex = note.place as u32;
        (*event).length = 0;
        (*event).mark = 0;
        (*event).family = 0;
        (*event).flags = 0;
        (*event).protocol = 0;
        (*event).network_offset = 0;
        (*event).captured = 0;
        (*event).hook = note.hook as u8;
        (*event).packet_type = 0;
        (*event).fdb = 0;
        (*event).reserved = 0;
        (*event).device = note.device;
        (*event).conntrack =
            Conntrack { orig: [0; 5], reply: [0; 5], status: 0, mark: 0, zone: 0, info: 0, reserved: [0; 5] };
        (*event).header = [0; WORDS];
        (&raw mut (*event).header).cast::<T>().write(*load);
    }
    entry.submit(NO_WAKEUP);
}
