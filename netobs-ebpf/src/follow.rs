//! The short way of `observe`, for places that no packet passes without having been seen before: it only asks whether
//! the packet is followed. There is no filter in it, which leaves the verifier of 6.1 little to do even where the hook is
//! not known beforehand.

use core::mem::MaybeUninit;

use netobs_ebpf::{Hook, flags};

use crate::access::{Access, offset};
use crate::identity;
use crate::observe::{Spot, place};
use crate::packet::{Extent, Header, read_header};
use crate::record::{Sighting, record};
use crate::seen;

/// # Safety
/// `skb` is a live `struct sk_buff *` that `A` may read.
#[inline(always)]
pub unsafe fn follow<A: Access>(spot: Spot, skb: *const u8) {
    if !seen::is_anything_followed() {
        return;
    }
    // SAFETY: the offsets are those of the structs the pointers are to.
    unsafe {
        let extent = || Extent::of::<A>(Hook::Function, skb);
        let Some((packet, extent)) = identity::find_followed(skb as u64, extent) else { return };
        let mut header = MaybeUninit::<Header>::uninit();
        if !read_header(&extent, &mut header) {
            return;
        }
        let device: *const u8 = if spot.device.is_null() { A::read(skb, offset!(skb_dev)) } else { spot.device };
        let socket: *const u8 = A::read(skb, offset!(skb_sk));
        let sighting = Sighting {
            hook: spot.hook,
            skb,
            device,
            place: place(device, socket),
            family: 0,
            packet,
            parent: 0,
            flags: spot.flags | if socket.is_null() { 0 } else { flags::OWNED },
            location: spot.location,
            reason: spot.reason,
            fdb: 0,
        };
        record::<A>(&sighting, &extent, &header);
    }
}
