//! Routing: what each table answers about the packet at hand.
//!
//! The tracepoints are told of no packet. It is the one that its CPU saw last if the flow has its addresses and came in
//! by its device; with the addresses swapped it is the check of its sender. Of packets that a driver hands up as a list
//! the last that was seen counts for all of the same addresses.
//!
//! A packet that a process sends is routed before it is made, so that its own look-up is not seen.

use core::ptr::{addr_of, null};

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use netobs_ebpf::{Hook, Lookup};

use crate::access::{Access, Probed, Typed, offset};
use crate::note::{Note, note};
use crate::observe::place;
use crate::packet::Extent;
use crate::record::device_name;
use crate::{current, identity, seen};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// `LOOPBACK_IFINDEX`: where a flow comes in that begins here, and one that is asked about by `fib_validate_source`.
const LOOPBACK: u32 = 1;
/// The first word of an ARP packet for IPv4 over Ethernet.
const ARP: u32 = u32::from_ne_bytes([0, 1, 8, 0]);
/// `-EAGAIN`: no route in this table.
const MISS: i32 = -11;

/// What is looked for.
struct Flow {
    hook: Hook,
    source: [u32; 4],
    destination: [u32; 4],
    /// Index of the device it came in by.
    input: u32,
    protocol: u8,
}

/// The packet that a flow is.
struct Found {
    packet: u64,
    place: u64,
    device: *const u8,
    is_source_check: bool,
}

/// `TP_PROTO(u32 tb_id, const struct flowi4 *flp, const struct fib_nh_common *nhc, int err)`
#[btf_tracepoint]
fn fib_table_lookup(ctx: BtfTracePointContext) -> i32 {
    let Some(skb) = at_hand() else { return 0 };
    let (flow, next_hop): (*const u8, *const u8) = (ctx.arg(1), ctx.arg(2));
    // SAFETY: the arguments are as above.
    unsafe {
        let flow = Flow {
            hook: Hook::FibTableLookup,
            source: [Typed::read(flow, offset!(fl4_source)), 0, 0, 0],
            destination: [Typed::read(flow, offset!(fl4_destination)), 0, 0, 0],
            input: Typed::read(flow, offset!(fl4_input)),
            protocol: Typed::read(flow, offset!(fl4_protocol)),
        };
        let found = find(&flow, skb);
        if found.packet == 0 {
            return 0;
        }
        let mut lookup =
            Lookup { destination: flow.destination, table: ctx.arg(0), error: ctx.arg(3), ..Lookup::default() };
        lookup.family = AF_INET;
        lookup.source_check = u8::from(found.is_source_check);
        // To the verifier it may be null until it is compared, and what is then read is by address all the same.
        let next_hop: *const u8 = Probed::read(addr_of!(next_hop).cast(), 0);
        // Of an IPv4 route with a next hop of its own: one in a nexthop object has no parent.
        if Probed::read::<u8>(next_hop, offset!(nhc_family)) == AF_INET {
            let fib_nh = next_hop.wrapping_sub(offset!(nh_common) as usize);
            let route: *const u8 = Probed::read(fib_nh, offset!(nh_parent));
            if !route.is_null() {
                lookup.kind = Probed::read(route, offset!(fib_type));
                // IPv4's main table answers for the local one as long as there are no rules (fib_trie_unmerge).
                let table: u32 = Probed::read(route, offset!(fib_table));
                lookup.table = if table == 0 { lookup.table } else { table };
            }
        }
        read_next_hop(next_hop, &mut lookup);
        write(&flow, &found, &lookup);
    }
    0
}

/// `TP_PROTO(const struct net *net, const struct fib6_result *res, struct fib6_table *table, const struct flowi6 *flp)`
#[btf_tracepoint]
fn fib6_table_lookup(ctx: BtfTracePointContext) -> i32 {
    let Some(skb) = at_hand() else { return 0 };
    let (net, result): (*const u8, *const u8) = (ctx.arg(0), ctx.arg(1));
    let (table, flow): (*const u8, *const u8) = (ctx.arg(2), ctx.arg(3));
    // SAFETY: the arguments are as above. An array is not a type the verifier lets a program load from directly.
    unsafe {
        let flow = Flow {
            hook: Hook::Fib6TableLookup,
            source: Probed::read(flow, offset!(fl6_source)),
            destination: Probed::read(flow, offset!(fl6_destination)),
            input: Probed::read(flow, offset!(fl6_input)),
            protocol: Probed::read(flow, offset!(fl6_protocol)),
        };
        let found = find(&flow, skb);
        if found.packet == 0 {
            return 0;
        }
        let mut lookup = Lookup { destination: flow.destination, family: AF_INET6, ..Lookup::default() };
        lookup.table = Probed::read(table, offset!(fib6_table));
        let route: u64 = Probed::read(result, offset!(fib6_route));
        if route == Probed::read::<u64>(net, offset!(net_no_route6)) {
            lookup.error = MISS;
        } else {
            lookup.kind = Probed::read(result, offset!(fib6_type));
            let next_hop: *const u8 = Probed::read(result, offset!(fib6_next_hop));
            // struct fib6_nh begins with its struct fib_nh_common, as it must: both are one in struct nh_info.
            read_next_hop(next_hop, &mut lookup);
        }
        write(&flow, &found, &lookup);
    }
    0
}

#[inline(always)]
fn at_hand() -> Option<u64> {
    if !seen::is_anything_followed() {
        return None;
    }
    let skb = current::get();
    identity::may_be_followed(skb).then_some(skb)
}

/// Compares a flow with the packet that this CPU saw last; `packet` is 0 if that is not what is routed.
///
/// # Safety
/// `skb` was a `struct sk_buff *` a moment ago.
#[inline(always)]
unsafe fn find(flow: &Flow, skb: u64) -> Found {
    let mut found = Found { packet: 0, place: 0, device: null(), is_source_check: false };
    let address = skb;
    let skb = skb as *const u8;
    // SAFETY: the helper behind Probed checks every address.
    unsafe {
        let extent = Extent::of::<Probed>(flow.hook, skb);
        let ip = (extent.head as *const u8).wrapping_add(extent.network as usize);
        let (source, destination) = addresses(ip);
        let is_own = source == flow.source && destination == flow.destination;
        let is_swapped = source == flow.destination && destination == flow.source;
        if !is_own && !is_swapped {
            return found;
        }
        found.device = Probed::read(skb, offset!(skb_dev));
        found.place = place(found.device, Probed::read(skb, offset!(skb_sk)));
        // fib_validate_source leaves the protocol out, an answer's own look-up has it (and IPv6 checks no sources).
        found.is_source_check = !is_own && flow.protocol == 0 && matches!(flow.hook, Hook::FibTableLookup);
        // Received, or routed anew in OUTPUT (ip_route_me_harder). What a process looks up for its next packet has its
        // protocol.
        let begins_here = flow.input == LOOPBACK || flow.input == 0;
        let is_routed = is_own && (flow.input == found.place as u32 || begins_here && flow.protocol == 0);
        if is_routed || found.is_source_check {
            found.packet = identity::of_followed(address, &extent);
        }
    }
    found
}

/// Source and destination of what is at the network header: IPv4, IPv6 or ARP.
///
/// # Safety
/// The helper behind Probed checks the address.
#[inline(always)]
unsafe fn addresses(ip: *const u8) -> ([u32; 4], [u32; 4]) {
    // SAFETY: as above.
    unsafe {
        let first: u32 = Probed::read(ip, 0);
        let (source, destination) = match first as u8 >> 4 {
            4 => (12, 16),
            6 => return (Probed::read(ip, 8), Probed::read(ip, 24)),
            _ if first == ARP => (14, 24),
            _ => return ([0; 4], [u32::MAX; 4]),
        };
        ([Probed::read(ip, source), 0, 0, 0], [Probed::read(ip, destination), 0, 0, 0])
    }
}

/// # Safety
/// `next_hop` is null or a `struct fib_nh_common *`.
#[inline(always)]
unsafe fn read_next_hop(next_hop: *const u8, lookup: &mut Lookup) {
    if next_hop.is_null() {
        return;
    }
    // SAFETY: as the caller vouches.
    unsafe {
        let device: *const u8 = Probed::read(next_hop, offset!(nhc_device));
        if !device.is_null() {
            lookup.ifindex = Probed::read(device, offset!(dev_ifindex));
            lookup.device = device_name(device);
        }
        lookup.gateway_family = Probed::read(next_hop, offset!(nhc_gateway_family));
        lookup.gateway = Probed::read(next_hop, offset!(nhc_gateway));
    }
}

/// # Safety
/// `found.device` is null or a `struct net_device *`.
#[inline(always)]
unsafe fn write(flow: &Flow, found: &Found, lookup: &Lookup) {
    // SAFETY: as the caller vouches.
    let device = if found.device.is_null() { [0; 2] } else { unsafe { device_name(found.device) } };
    note(&Note { hook: flow.hook, packet: found.packet, place: found.place, device }, lookup);
}
