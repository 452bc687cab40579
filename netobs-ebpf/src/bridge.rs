//! Asks a bridge for the address that a frame is for, as it is about to do itself, or just did.
//!
//! The kernel says nowhere whether an entry led the frame to its port or the lack of one. So the forwarding database is
//! looked through when the frame comes to the bridge and once more when it leaves by a port: an entry that was there both
//! times is the one the kernel found, and one that was missing both times it did not find either.

use core::mem::MaybeUninit;

use netobs_ebpf::{Fdb, Hook};

use crate::access::{Access, LAYOUT, Probed, constant, offset};
use crate::packet::{Extent, Header};

/// Entries looked at, the youngest first, in so many turns; each port, each address of the host and each neighbour has
/// one or two.
const TURNS: u32 = 32;
/// Entries looked at in a turn. The verifier goes through every round of a loop: 512 of them in one were nine tenths of
/// what it had to look at in a program, and most of the time that attaching took.
const ENTRIES: u32 = 16;
/// The six bytes of a link-layer address that lie first in eight.
const ADDRESS: u64 = u64::from_le(0xffff_ffff_ffff);
/// Set in the first byte of a group's address.
const GROUP: u64 = u64::from_le(1);

/// What the bridge that the packet comes to or leaves by a port of knows of its destination: the number of a [`Fdb`].
///
/// # Safety
/// `skb` is a live `struct sk_buff *`, and the header is its own.
#[inline(always)]
pub unsafe fn look(hook: Hook, skb: *const u8, extent: &Extent, header: &MaybeUninit<Header>) -> u8 {
    let as_port = match hook {
        Hook::NetifReceiveSkb | Hook::NetDevQueue => 1,
        // What the host itself sends.
        Hook::NetDevStartXmit => 0,
        _ => return 0,
    };
    if !extent.ethernet {
        return 0;
    }
    // SAFETY: as the caller vouches. Read by address, the device is to the verifier the number that the function takes.
    let (device, [first, ..]) = unsafe { (Probed::read(skb, offset!(skb_dev)), header.assume_init_ref()) };
    bridge_fdb(device, as_port, first & ADDRESS) as u8
}

/// Exported so that it is verified by itself, as `fingerprint_hash` is.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn bridge_fdb(device: u64, as_port: u64, address: u64) -> u64 {
    let device = device as *const u8;
    // SAFETY: the helper behind Probed checks every address.
    unsafe {
        let Some((bridge, port)) = bridge_of(device, as_port != 0) else { return Fdb::NoBridge as u64 };
        if address & GROUP != 0 || offset!(bridge_fdb) == netobs_ebpf::MISSING {
            return Fdb::NotTold as u64;
        }
        let vlans = constant(&LAYOUT.bridge_has_vlans);
        let has_vlans = vlans == 0 || Probed::read::<u32>(bridge, offset!(bridge_options)) & vlans != 0;
        let mut node: u64 = Probed::read(bridge, offset!(bridge_fdb));
        for _ in 0..TURNS {
            node = bridge_fdb_turn(node, address, port, u64::from(has_vlans));
            if node <= Fdb::Here as u64 {
                return node;
            }
        }
    }
    Fdb::NotTold as u64
}

/// Looks through some entries, from this one on: the number of a [`Fdb`], or the entry to go on with.
///
/// Exported as well, so that the verifier goes through it once, not in every turn.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn bridge_fdb_turn(node: u64, address: u64, port: u64, has_vlans: u64) -> u64 {
    let mut node = node as *const u8;
    for _ in 0..ENTRIES {
        if node.is_null() {
            return Fdb::Missing as u64;
        }
        let entry = node.wrapping_sub(offset!(fdb_node) as usize);
        // SAFETY: the helper behind Probed checks every address.
        unsafe {
            if Probed::read::<u64>(entry, offset!(fdb_address)) & ADDRESS == address {
                // Which VLAN the frame is in is not known here.
                if has_vlans != 0 {
                    return Fdb::NotTold as u64;
                }
                // Entries of VLANs are there and do not count.
                if Probed::read::<u16>(entry, offset!(fdb_vlan)) == 0 {
                    let leads_here = port != 0 && Probed::read::<u64>(entry, offset!(fdb_port)) == port;
                    return if leads_here { Fdb::Here } else { Fdb::Elsewhere } as u64;
                }
            }
            node = Probed::read(node, offset!(list_next));
        }
    }
    // The end of the list, where a turn ends too: as a number it would be another answer.
    if node.is_null() { Fdb::Missing as u64 } else { node as u64 }
}

/// The `struct net_bridge` that the device is a port of, with its `struct net_bridge_port`; or, if not `as_port`, that the
/// device is.
///
/// # Safety
/// The helper behind Probed checks every address.
#[inline(always)]
unsafe fn bridge_of(device: *const u8, as_port: bool) -> Option<(*const u8, u64)> {
    // SAFETY: as above.
    unsafe {
        let flags: u32 = Probed::read(device, offset!(dev_priv_flags));
        if as_port {
            if flags & constant(&LAYOUT.dev_is_port) == 0 {
                return None;
            }
            let port: *const u8 = Probed::read(device, offset!(dev_rx_handler_data));
            let is_it = Probed::read::<u64>(port, offset!(port_dev)) == device as u64;
            return is_it.then_some((Probed::read(port, offset!(port_bridge)), port as u64));
        }
        if flags & constant(&LAYOUT.dev_is_bridge) == 0 {
            return None;
        }
        let bridge = device.wrapping_add(offset!(dev_priv) as usize);
        let is_it = Probed::read::<u64>(bridge, offset!(bridge_dev)) == device as u64;
        is_it.then_some((bridge, 0))
    }
}
