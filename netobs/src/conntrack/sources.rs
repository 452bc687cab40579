use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::netlink::message::attribute;

// <linux/netfilter/nfnetlink_conntrack.h>
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_IP: u16 = 1;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V6_SRC: u16 = 3;

/// Who began the flows in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// Entries that were read. The table goes on changing meanwhile, so it is close to, but not, what the kernel counts.
    pub entries: u64,
    /// Addresses among their sources that differ.
    pub distinct: u64,
    /// The sources with most entries, the largest first.
    pub top: Vec<(IpAddr, u64)>,
    /// False if the kernel said that the table was rebuilt while it was read: entries may be missing, or there twice.
    pub steady: bool,
    /// How long reading took.
    pub took: Duration,
}

/// Entries by the source of their original direction: whoever sent the first packet, before any NAT.
///
/// One word per source: an IPv4 source takes about 16 bytes of memory, whatever the number of its entries.
#[derive(Debug, Default)]
pub(super) struct Count {
    v4: HashMap<Ipv4Addr, u32>,
    v6: HashMap<Ipv6Addr, u32>,
    entries: u64,
}

impl Count {
    /// Counts an entry, of which `attributes` are those of the dump. One without an address is counted as nobody's.
    pub(super) fn add(&mut self, attributes: &[u8]) {
        self.entries += 1;
        let tuple = attribute(attributes, CTA_TUPLE_ORIG).and_then(|tuple| attribute(tuple, CTA_TUPLE_IP));
        let Some(addresses) = tuple else { return };
        let count = if let Some(address) = attribute(addresses, CTA_IP_V4_SRC).and_then(|bytes| bytes.first_chunk()) {
            self.v4.entry(Ipv4Addr::from(*address)).or_default()
        } else if let Some(address) = attribute(addresses, CTA_IP_V6_SRC).and_then(|bytes| bytes.first_chunk()) {
            self.v6.entry(Ipv6Addr::from(*address)).or_default()
        } else {
            return;
        };
        *count = count.saturating_add(1);
    }

    /// The result, with that many of the largest sources. Of two as large the lower address comes first.
    pub(super) fn finish(self, top: usize, steady: bool, took: Duration) -> Sources {
        let distinct = (self.v4.len() + self.v6.len()) as u64;
        let v4 = self.v4.into_iter().map(|(address, count)| (IpAddr::from(address), count));
        let v6 = self.v6.into_iter().map(|(address, count)| (IpAddr::from(address), count));
        // Its head is the least of the largest: what goes when a larger one comes.
        let mut largest = BinaryHeap::new();
        for (address, count) in v4.chain(v6) {
            largest.push(Reverse((count, Reverse(address))));
            if largest.len() > top {
                largest.pop();
            }
        }
        let top = largest.into_sorted_vec();
        let top = top.into_iter().map(|Reverse((count, Reverse(address)))| (address, u64::from(count))).collect();
        Sources { entries: self.entries, distinct, top, steady, took }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel nests it: a tuple, its addresses, the source.
    fn entry(kind: u16, source: &[u8]) -> Vec<u8> {
        let wrap = |kind: u16, value: &[u8]| {
            let length = u16::try_from(value.len() + 4).unwrap();
            [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat()
        };
        wrap(CTA_TUPLE_ORIG | 0x8000, &wrap(CTA_TUPLE_IP | 0x8000, &wrap(kind, source)))
    }

    #[test]
    fn finds_the_largest_of_both_families() {
        let mut count = Count::default();
        for last in 1..=9u8 {
            for _ in 0..last {
                count.add(&entry(CTA_IP_V4_SRC, &[10, 0, 0, last]));
            }
        }
        for _ in 0..9 {
            count.add(&entry(CTA_IP_V6_SRC, &[0xfd; 16]));
        }
        let sources = count.finish(3, true, Duration::ZERO);
        let expected = [("10.0.0.9", 9), ("fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd", 9), ("10.0.0.8", 8)];
        assert_eq!(sources.top, expected.map(|(address, count)| (address.parse().unwrap(), count)));
        assert_eq!((sources.entries, sources.distinct), (54, 10));
    }

    #[test]
    fn survives_entries_that_are_cut_short() {
        let whole = entry(CTA_IP_V4_SRC, &[10, 0, 0, 1]);
        let mut count = Count::default();
        for length in 0..whole.len() {
            count.add(&whole[..length]);
        }
        let sources = count.finish(10, true, Duration::ZERO);
        assert_eq!((sources.entries, sources.top.len()), (whole.len() as u64, 0));
    }
}
