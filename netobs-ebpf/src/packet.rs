//! What the programs read of a packet itself.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use netobs_ebpf::{HEADER_BYTES, Hook};

use crate::access::{Access, offset};

/// Length of an Ethernet header, the least a link-layer header in front of IP can have.
const ETHERNET: u32 = 14;
/// `skb->mac_header` before it is set.
const UNSET: u16 = u16::MAX;

/// Where the packet's bytes are, as offsets from `skb->head`.
pub struct Extent {
    pub head: u64,
    /// First byte of interest: the Ethernet header if there is one, else the network header.
    pub start: u32,
    pub network: u32,
    pub ethernet: bool,
    /// Bytes from `start` to the end of the linear data, at most [`HEADER_BYTES`].
    pub captured: u32,
    /// Length of the whole packet from `start` on.
    pub length: u32,
}

impl Extent {
    /// # Safety
    /// `skb` is a `struct sk_buff *`.
    #[inline(always)]
    pub unsafe fn of<A: Access>(hook: Hook, skb: *const u8) -> Self {
        // SAFETY: the offsets are those of struct sk_buff.
        let (head, data, length, tail, mac, network): (u64, u64, u32, u32, u16, u16) = unsafe {
            (
                A::read(skb, offset!(skb_head)),
                A::read(skb, offset!(skb_data)),
                A::read(skb, offset!(skb_len)),
                A::read(skb, offset!(skb_tail)),
                A::read(skb, offset!(skb_mac_header)),
                A::read(skb, offset!(skb_network_header)),
            )
        };
        let data = data.wrapping_sub(head) as u32;
        // A network driver leaves skb->network_header for __netif_receive_skb_core to set, which it does only after
        // both receive tracepoints; there skb->data is the network header. The classifiers of the ingress come after
        // that, and see skb->data moved back to the link-layer header (tcx_run, cls_bpf_classify).
        let unset = matches!(hook, Hook::NetifRx | Hook::NetifReceiveSkb) || network == 0;
        let network = if unset { data } else { u32::from(network) };
        let mac = if mac == UNSET { network } else { u32::from(mac) };
        // A received packet keeps its old link-layer header in front of it until a new one is written.
        let ethernet = network >= mac + ETHERNET && network <= mac + HEADER_BYTES as u32 / 2;
        let start = if ethernet { mac } else { network };
        let linear = tail.saturating_sub(start);
        Self {
            head,
            start,
            network,
            ethernet,
            captured: if linear > HEADER_BYTES as u32 { HEADER_BYTES as u32 } else { linear },
            // skb->len counts from skb->data, wherever that is now.
            length: length.wrapping_add(data).wrapping_sub(start),
        }
    }

    #[inline(always)]
    pub fn network_offset(&self) -> u32 {
        self.network.wrapping_sub(self.start)
    }
}

/// The first bytes of a packet, on the program's own stack: a per-CPU buffer could be overwritten by the program of
/// another hook in an interrupt.
pub type Header = [u64; HEADER_BYTES / 8];

/// # Safety
/// `extent` was taken from a live packet.
#[inline(always)]
pub unsafe fn read_header(extent: &Extent, header: &mut MaybeUninit<Header>) -> bool {
    let source = (extent.head as *const u8).wrapping_add(extent.start as usize);
    // SAFETY: the helper checks the source. Bytes past `captured` are not the packet's and are never looked at; an
    // skb's head is always followed by its shared info, so reading them does not fail.
    unsafe { bpf_probe_read_kernel(header.as_mut_ptr().cast(), HEADER_BYTES as u32, source.cast()) == 0 }
}
