//! The agent's programs on connections that are about to be entered into the table. They record nothing: they count.

use core::ptr::read_volatile;

use aya_ebpf::macros::{kprobe, map};
use aya_ebpf::maps::{PerCpuArray, PerCpuHashMap};
use aya_ebpf::programs::ProbeContext;
use netobs_ebpf::{NAT_ROWS, NatCounts, NatSettings};

use crate::access::{Access, Probed, Typed, constant, offset};
use crate::atomic;
use crate::programs::netfilter::ACCEPT;
use crate::record::CT_INFO;

/// Filled by user space before the object is loaded.
#[unsafe(no_mangle)]
pub static NAT_SETTINGS: NatSettings = NatSettings::NONE;

/// `BPF_F_NO_PREALLOC`: memory for the rows there are, not for those there may be.
const AS_NEEDED: u32 = 1;
/// `BPF_NOEXIST`: only insert, since another CPU may be inserting the same key.
const NEW: u64 = 1;

#[map]
static NAT: PerCpuHashMap<u64, NatCounts> = PerCpuHashMap::with_max_entries(NAT_ROWS, AS_NEEDED);

/// Translations for which there was no row.
#[map]
static NAT_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// `int __nf_conntrack_confirm(struct sk_buff *skb)`: called for the first packet of a connection when nothing can
/// drop it any more, and for no other.
#[kprobe]
fn nat_confirm(ctx: ProbeContext) -> u32 {
    if let Some(skb) = ctx.arg::<*const u8>(0) {
        // SAFETY: the argument is as above.
        unsafe { count(Probed::read(skb, offset!(skb_nfct))) };
    }
    0
}

/// `struct bpf_nf_ctx { const struct nf_hook_state *state; struct sk_buff *skb; }`, in POSTROUTING and INPUT, right
/// before `nf_confirm` calls the function above.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tracepoint/nat_leaving")]
extern "C" fn nat_leaving(context: *const *const u8) -> u32 {
    // SAFETY: the context is what user space loads the program for.
    unsafe { count(Typed::read(read_volatile(context.add(1)), offset!(skb_nfct))) };
    ACCEPT
}

/// Counts what NAT did to a connection that is not in the table yet (`nf_nat_setup_info` sets the bits if it changed
/// anything).
///
/// # Safety
/// `nfct` is `skb->_nfct` of a live packet.
#[inline(always)]
unsafe fn count(nfct: u64) {
    let entry = (nfct & !CT_INFO) as *const u8;
    if entry.is_null() {
        return;
    }
    let [source, destination] = [constant(&NAT_SETTINGS.source), constant(&NAT_SETTINGS.destination)].map(u64::from);
    // SAFETY: as the caller vouches; the helper behind Probed checks every address.
    let (status, net): (u64, *const u8) = unsafe {
        let status = Probed::read(entry, offset!(ct_status));
        if status & u64::from(constant(&NAT_SETTINGS.confirmed)) != 0 || status & (source | destination) == 0 {
            return;
        }
        (status, Probed::read(entry, constant(&NAT_SETTINGS.ct_net)))
    };
    // SAFETY: as above.
    let cookie = unsafe { Probed::read(net, constant(&NAT_SETTINGS.net_cookie)) };
    let counts = [u64::from(status & source != 0), u64::from(status & destination != 0)];
    // Either this CPU makes the row, or there is one, or another was quicker, or there is no room.
    if add(&cookie, counts) || NAT.insert(&cookie, counts, NEW).is_ok() || add(&cookie, counts) {
        return;
    }
    if let Some(lost) = NAT_LOST.get_ptr_mut(0) {
        // SAFETY: this CPU's value.
        unsafe { atomic::add(lost, counts[0] + counts[1]) };
    }
}

/// Atomically: what a process sends may be interrupted by what is received.
#[inline(always)]
fn add(cookie: &u64, counts: NatCounts) -> bool {
    let Some(row) = NAT.get_ptr_mut(cookie) else { return false };
    let row: *mut u64 = row.cast();
    // SAFETY: this CPU's value, of two words.
    unsafe {
        atomic::add(row, counts[0]);
        atomic::add(row.add(1), counts[1]);
    }
    true
}
