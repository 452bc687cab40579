//! Everything that is read for one scrape.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use aya::sys::{Stats, enable_stats};

use super::census::{Census, Namespace, Touched};
use super::drops::Drops;
use super::hops::{Devices, Hops, take_latencies};
use super::inside::{self, Inside};
use super::nat::Nat;
use super::rows::{DropRecord, records};
use super::snmp::Reader;
use super::watch::Watch;
use crate::conntrack::{Counter, Statistics, Totals};
use crate::filter::Filter;
use crate::metrics::{Exposition, Metric, Source, Store};
use crate::netns::NetnsCookie;
use crate::probe::drops::{DropCount, DropCounter, DropTable};
use crate::probe::{HopCounter, HopProgram, Kernel, Kind, Selection};
use crate::refusal::Refusal;

/// The source of what IPv6 counted, beside what the programs did.
const SIXTH: u64 = u64::MAX;

/// What can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Series that are served at most.
    pub series_limit: usize,
    /// Rows of the kernel's table of drops.
    pub drop_rows: u32,
    /// Rows of the kernel's table of devices and hooks.
    pub hop_rows: u32,
    /// Whether the kernel shall measure how long programs run.
    pub program_stats: bool,
}

/// What of a namespace must be remembered from one collection to the next.
#[derive(Debug)]
struct Tracked {
    statistics: Statistics,
    totals: Totals,
    /// There are entries, or were.
    is_at_work: bool,
}

/// Attached programs, and all that was ever read. Dropping it detaches them.
pub struct Collection {
    kernel: Kernel,
    counter: DropCounter,
    hop_counter: HopCounter,
    census: Arc<Mutex<Census>>,
    _watch: Watch,
    drops: Drops,
    hops: Hops,
    nat: Nat,
    snmp: Reader,
    tracked: HashMap<NetnsCookie, Tracked>,
    /// Rows of namespaces that have gone, as they were read last.
    ended: HashMap<NetnsCookie, u64>,
    store: Store,
    exposition: Exposition,
    /// Closing it ends the measuring.
    _stats: Option<OwnedFd>,
}

/// What one part of a collection took and whether it read all it had to.
#[derive(Clone, Copy, Debug)]
struct Effort {
    took: Duration,
    success: bool,
}

impl Collection {
    /// Attaches the programs and begins to follow namespaces.
    ///
    /// # Errors
    /// Not permitted, or the kernel refuses a program.
    pub fn attach(options: Options) -> anyhow::Result<Self> {
        let kernel = Kernel::read().map_err(|error| Refusal::NotPermitted(error.to_string()))?;
        let table = DropTable { rows: options.drop_rows, coarse: true };
        let exposition = Exposition::new().context("register the metrics")?;
        let counter = DropCounter::attach(&kernel, &Filter::compile("")?, &Selection::default(), table)?;
        let hop_counter = HopCounter::attach(&kernel, options.hop_rows)?;
        let census = Arc::new(Mutex::new(Census::default()));
        let watch = Watch::start(Arc::clone(&census)).context("follow network namespaces")?;
        let mut collection = Self {
            kernel,
            counter,
            hop_counter,
            census,
            _watch: watch,
            drops: Drops::new(),
            hops: Hops::default(),
            nat: Nat::default(),
            snmp: Reader::new(),
            tracked: HashMap::new(),
            ended: HashMap::new(),
            store: Store::new(options.series_limit),
            exposition,
            // 5.8. Without it those two metrics stand still.
            _stats: options.program_stats.then(|| enable_stats(Stats::RunTime).ok()).flatten(),
        };
        collection.remember()?;
        collection.nat.tend(&collection.census);
        Ok(collection)
    }

    /// Notes what had been counted before the programs were attached.
    fn remember(&mut self) -> io::Result<()> {
        for inside in inside::look(&self.alive(), &self.snmp)? {
            let conntrack = self.track(&inside);
            self.drops.was_there(inside.cookie, conntrack.unwrap_or(0));
        }
        Ok(())
    }

    /// Reads everything and says it in Prometheus's words.
    ///
    /// # Errors
    /// A defect of the table of metrics.
    pub fn scrape(&mut self) -> prometheus::Result<String> {
        let began = Instant::now();
        self.store.begin(began);
        self.census.lock().unwrap_or_else(PoisonError::into_inner).look(&Touched::default());
        let namespaces = self.alive();
        let mut efforts = vec![("namespaces", Effort { took: began.elapsed(), success: !namespaces.is_empty() })];
        self.build();
        namespaces.iter().for_each(|netns| self.info(netns));

        let began = Instant::now();
        let counts = self.counter.read();
        let reading = began.elapsed();
        let inside = inside::look(&namespaces, &self.snmp);
        efforts.extend(efforts_inside(&inside));
        let mut conntrack = HashMap::new();
        let mut devices = Devices::new();
        let by_cookie: HashMap<_, _> = namespaces.iter().map(|netns| (netns.cookie, netns)).collect();
        for inside in inside.unwrap_or_default() {
            let Some(netns) = by_cookie.get(&inside.cookie) else { continue };
            if let Some(dropped) = self.track(&inside) {
                conntrack.insert(inside.cookie, dropped);
            }
            self.take_inside(netns, &inside);
            if let Some(links) = inside.links.found {
                let links = links.into_iter().map(|link| (link.ifindex, link.name.into())).collect();
                devices.insert(inside.cookie, links);
            }
        }
        let began = Instant::now();
        let success = counts.is_ok();
        self.take_drops(&counts.unwrap_or_default(), &conntrack);
        efforts.push(("drops", Effort { took: reading + began.elapsed(), success }));
        efforts.push(self.take_hops(&devices));
        efforts.push(self.take_nat());
        efforts.push(self.take_programs());
        for (collector, effort) in efforts {
            let labels = [&Arc::from(collector)];
            self.store.gauge(Metric::CollectorSuccess, &labels, f64::from(u8::from(effort.success)));
            self.store.gauge(Metric::CollectorDuration, &labels, effort.took.as_secs_f64());
        }
        self.store.end();
        self.exposition.text(&mut self.store)
    }

    /// The rows of drops, in names.
    ///
    /// # Errors
    /// The kernel does not hand its table out.
    pub fn drops(&mut self) -> Result<Vec<DropRecord>, String> {
        // What of netfilter's drops was connection tracking's is found out by a collection.
        let _ = self.scrape();
        let counts = self.counter.read().map_err(|error| error.to_string())?;
        let Self { drops, kernel, census, .. } = self;
        let census = census.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(records(counts.iter().map(|DropCount { row, packets }| (drops.name(row, kernel, &census), *packets))))
    }

    /// Serves so many series at most from now on; those there are stay.
    pub fn limit_series(&mut self, limit: usize) {
        self.store.set_limit(limit);
    }

    /// What knows the namespaces.
    pub fn census(&self) -> Arc<Mutex<Census>> {
        Arc::clone(&self.census)
    }

    fn alive(&self) -> Vec<Namespace> {
        self.census.lock().unwrap_or_else(PoisonError::into_inner).alive()
    }

    fn build(&mut self) {
        let revision = option_env!("NETOBS_REVISION").unwrap_or("unknown");
        let labels = [env!("CARGO_PKG_VERSION"), revision, &self.kernel.release].map(Arc::from);
        self.store.gauge(Metric::BuildInfo, &labels.each_ref(), 1.0);
    }

    fn info(&mut self, netns: &Namespace) {
        let owner = &netns.owner;
        let inode = netns.inode.to_string();
        let [inode, runtime, container, pod, namespace] =
            [&inode, &owner.runtime, &owner.container, &owner.pod, &owner.namespace].map(|text| Arc::from(&**text));
        let labels = [&netns.name, &inode, &runtime, &container, &pod, &namespace];
        self.store.gauge(Metric::NetnsInfo, &labels, 1.0);
    }

    /// Takes in a namespace's connection tracking, each CPU's counters for itself. What it had dropped up to now, if that
    /// is known.
    fn track(&mut self, inside: &Inside) -> Option<u64> {
        let (table, statistics) = inside.conntrack.as_ref()?.found.as_ref()?;
        let before = self.tracked.remove(&inside.cookie);
        let totals = before
            .map_or_else(|| statistics.totals(), |before| before.totals.and(&statistics.since(&before.statistics)));
        let is_at_work = table.entries > 0 || totals.any();
        self.tracked.insert(inside.cookie, Tracked { statistics: statistics.clone(), totals, is_at_work });
        totals.get(Counter::Drop)
    }

    fn take_inside(&mut self, netns: &Namespace, inside: &Inside) {
        let store = &mut self.store;
        let (name, whole) = (&netns.name, Source(netns.cookie.0, 0));
        if let Some(snmp) = inside.snmp.found {
            store.counter(Metric::RpFilterDrops, &[name], whole, snmp.rp_filter);
            store.counter(Metric::FragmentationFailures, &[name], whole, snmp.fragmentation_failures);
            store.counter(Metric::FragNeededSent, &[name], Source(netns.cookie.0, SIXTH), snmp.too_big_sent);
            store.counter(Metric::TcpRetransmits, &[name], whole, snmp.retransmits);
        }
        let table = inside.conntrack.as_ref().and_then(|reading| reading.found.as_ref());
        if let (Some((table, _)), Some(tracked)) = (table, self.tracked.get(&netns.cookie)) {
            store.gauge(Metric::ConntrackEntries, &[name], table.entries as f64);
            if let Some(limit) = table.limit {
                store.gauge(Metric::ConntrackEntriesLimit, &[name], limit as f64);
            }
            for (metric, counter) in [
                (Metric::ConntrackDrops, Counter::Drop),
                (Metric::ConntrackEarlyDrops, Counter::EarlyDrop),
                (Metric::ConntrackInsertFailed, Counter::InsertFailed),
                (Metric::ConntrackInvalid, Counter::Invalid),
                (Metric::ConntrackClashResolved, Counter::ClashResolve),
            ] {
                if let Some(value) = tracked.totals.get(counter) {
                    store.counter(metric, &[name], whole, value);
                }
            }
        }
        for link in inside.links.found.iter().flatten() {
            let device: Arc<str> = link.name.as_str().into();
            let (labels, source) = ([name, &device], Source(netns.cookie.0, u64::from(link.ifindex.0)));
            store.gauge(Metric::InterfaceMtu, &labels, f64::from(link.mtu));
            for (metric, value) in [
                (Metric::InterfaceReceivePackets, link.received.packets),
                (Metric::InterfaceReceiveBytes, link.received.bytes),
                (Metric::InterfaceReceiveDrops, link.received.drops),
                (Metric::InterfaceTransmitPackets, link.sent.packets),
                (Metric::InterfaceTransmitBytes, link.sent.bytes),
                (Metric::InterfaceTransmitDrops, link.sent.drops),
            ] {
                store.counter(metric, &labels, source, value);
            }
        }
    }

    fn take_drops(&mut self, counts: &[DropCount], conntrack: &HashMap<NetnsCookie, u64>) {
        let census = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        self.drops.take(&mut self.store, counts, conntrack, &self.kernel, &census);
        // Rows of a namespace that has gone are told once at least, and go when they have stood still since.
        let mut ended: HashMap<NetnsCookie, u64> = HashMap::new();
        for count in counts {
            if let Some(cookie) = count.row.cookie.filter(|cookie| !census.is_alive(*cookie)) {
                *ended.entry(cookie).or_default() += count.packets;
            }
        }
        let before = std::mem::replace(&mut self.ended, ended);
        let is_over = |cookie| self.ended.get(&cookie).is_some_and(|packets| before.get(&cookie) == Some(packets));
        if before.keys().any(|cookie| is_over(*cookie)) {
            // What stays is only read again.
            let _ = self.counter.forget(is_over);
        }
        let is_there = |cookie| census.is_alive(cookie) || self.ended.contains_key(&cookie);
        self.drops.keep(is_there);
        self.tracked.retain(|cookie, _| is_there(*cookie));
        let (losses, source) = (self.counter.losses(), Source(0, 0));
        self.store.counter(Metric::EventsLost, &[&"drops-overflow".into()], source, losses.overflow);
        self.store.counter(Metric::EventsLost, &[&"drops-missed".into()], source, losses.missed);
    }

    fn take_hops(&mut self, devices: &Devices) -> (&'static str, Effort) {
        let began = Instant::now();
        let counts = self.hop_counter.read();
        let latencies = self.hop_counter.latencies();
        let success = counts.is_ok() && latencies.is_ok();
        let census = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        let Self { store, hop_counter, hops, .. } = self;
        take_latencies(store, &latencies.unwrap_or_default());
        hops.take(store, hop_counter, &counts.unwrap_or_default(), devices, &census);
        ("hops", Effort { took: began.elapsed(), success })
    }

    fn take_nat(&mut self) -> (&'static str, Effort) {
        let began = Instant::now();
        self.nat.tend(&self.census);
        let tracking = self.tracked.iter().filter(|(_, tracked)| tracked.is_at_work).map(|(cookie, _)| *cookie);
        let tracking: Vec<_> = tracking.collect();
        let census = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        let success = self.nat.take(&mut self.store, &tracking, &census);
        ("nat", Effort { took: began.elapsed(), success })
    }

    fn take_programs(&mut self) -> (&'static str, Effort) {
        let began = Instant::now();
        let mut success = true;
        let drops = self.counter.programs().map(|(name, runs)| (name.to_owned(), Kind::TpBtf, true, runs));
        let hops = self
            .hop_counter
            .programs()
            .map(|HopProgram { name, kind, runs, why_not }| (name, kind, why_not.is_none(), runs));
        let nat = self.nat.program().map(|(name, kind, is_attached, runs)| (name.to_owned(), kind, is_attached, runs));
        for (program, kind, is_attached, runs) in drops.chain(hops).chain(nat) {
            let (program, source) = (Arc::from(program), Source(0, 0));
            let labels = [&program, &Arc::from(kind.name())];
            self.store.gauge(Metric::ProbeAttached, &labels, f64::from(u8::from(is_attached)));
            match runs {
                Some(runs) => {
                    self.store.counter(Metric::ProgramRunSeconds, &[&program], source, runs.nanoseconds);
                    self.store.counter(Metric::ProgramRuns, &[&program], source, runs.runs);
                }
                // What could not be attached was never loaded.
                None => success &= !is_attached,
            }
        }
        ("programs", Effort { took: began.elapsed(), success })
    }
}

/// What looking into the namespaces took, by what was looked for.
fn efforts_inside(inside: &io::Result<Vec<Inside>>) -> [(&'static str, Effort); 3] {
    let all = inside.as_deref().unwrap_or_default();
    let effort = |of: &dyn Fn(&Inside) -> Option<(Duration, bool)>| Effort {
        took: all.iter().filter_map(|inside| Some(of(inside)?.0)).sum(),
        success: inside.is_ok() && all.iter().filter_map(of).all(|(_, found)| found),
    };
    [
        ("interfaces", effort(&|inside| Some((inside.links.took, inside.links.found.is_some())))),
        ("snmp", effort(&|inside| Some((inside.snmp.took, inside.snmp.found.is_some())))),
        ("conntrack", effort(&|inside| inside.conntrack.as_ref().map(|it| (it.took, it.found.is_some())))),
    ]
}
