//! Packets by device and hook.

use std::collections::HashMap;
use std::sync::Arc;

use netobs_ebpf::{Hook, LATENCY_BOUNDS};

use super::census::Census;
use super::strangers::Strangers;
use crate::metrics::{Histogram, Metric, Source, Store};
use crate::netlink::Ifindex;
use crate::netns::NetnsCookie;
use crate::probe::{HopCount, HopCounter, HopLatency};

/// The links of each namespace that was read.
pub type Devices = HashMap<NetnsCookie, HashMap<Ifindex, Arc<str>>>;

/// Rows of the kernel's table, in words.
#[derive(Debug, Default)]
pub struct Hops {
    /// Rows of devices that have gone, as they were read last.
    ended: HashMap<(NetnsCookie, Ifindex), u64>,
    strangers: Strangers,
}

impl Hops {
    /// Takes in a reading, and takes out of the table what has gone and was told.
    pub fn take(
        &mut self,
        store: &mut Store,
        counter: &mut HopCounter,
        counts: &[HopCount],
        devices: &Devices,
        census: &Census,
    ) {
        let stage: Arc<str> = "hops".into();
        // There before the first packet, and still when rows go.
        store.counter(Metric::Events, &[&stage], Source(0, 0), 0);
        let mut ended: HashMap<(NetnsCookie, Ifindex), u64> = HashMap::new();
        self.strangers.begin();
        for count in counts {
            // One source for each row of a series.
            let source = Source(count.cookie.0, u64::from(count.ifindex.0));
            let row = Source(count.cookie.0, u64::from(count.ifindex.0) << 8 | count.hook.hook as u64);
            store.counter(Metric::Events, &[&stage], row, count.packets);
            match self.strangers.name(Some(count.cookie), census) {
                Some(netns) if count.hook.hook == Hook::IcmpSend => {
                    store.counter(Metric::FragNeededSent, &[&netns], source, count.packets);
                }
                Some(netns) => {
                    let known = devices.get(&count.cookie).and_then(|links| links.get(&count.ifindex)).cloned();
                    let device = known.unwrap_or_else(|| count.device.to_string_lossy().into());
                    let labels = [&netns, &device, &Arc::from(count.hook.name)];
                    store.counter(Metric::HopPackets, &labels, source, count.packets);
                    store.counter(Metric::HopBytes, &labels, source, count.bytes);
                }
                None => {}
            }
            if is_gone(count, devices, census) {
                *ended.entry((count.cookie, count.ifindex)).or_default() += count.packets;
            }
        }
        let before = std::mem::replace(&mut self.ended, ended);
        let is_over = |key| self.ended.get(&key).is_some_and(|packets| before.get(&key) == Some(packets));
        if before.keys().any(|key| is_over(*key)) {
            // What stays is only read again.
            let _ = counter.forget(|cookie, ifindex| is_over((cookie, ifindex)));
        }
        for (stage, lost) in [("hops-overflow", counter.overflow()), ("hops-missed", counter.missed())] {
            store.counter(Metric::EventsLost, &[&stage.into()], Source(0, 0), lost);
        }
    }
}

/// How long packets took from hook to hook.
pub fn take_latencies(store: &mut Store, latencies: &[HopLatency]) {
    const SECOND: f64 = 1e9;
    for HopLatency { from, to, latency } in latencies {
        let bounds = LATENCY_BOUNDS.iter().map(|bound| *bound as f64 / SECOND);
        let histogram = Histogram {
            buckets: bounds.zip(latency.buckets).collect(),
            above: latency.buckets.last().copied().unwrap_or(0),
            sum: latency.sum as f64 / SECOND,
        };
        store.histogram(Metric::HopLatency, &[&Arc::from(from.name), &Arc::from(to.name)], histogram);
    }
}

/// Whether nothing more can be counted there.
fn is_gone(count: &HopCount, devices: &Devices, census: &Census) -> bool {
    match devices.get(&count.cookie) {
        Some(links) => count.ifindex.0 != 0 && !links.contains_key(&count.ifindex),
        None => !census.is_alive(count.cookie),
    }
}
