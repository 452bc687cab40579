//! Connections whose packets are translated.

mod tender;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use tender::Tender;

use super::census::Census;
use super::strangers::Strangers;
use crate::conntrack::is_loaded;
use crate::metrics::{Metric, Source, Store};
use crate::netns::NetnsCookie;
use crate::probe::nat::{NatCount, NatCounter};
use crate::probe::{Kernel, Kind, ProgramRuns};

/// The counter, as soon as there is connection tracking to count in.
#[derive(Default)]
pub struct Nat {
    counter: Option<NatCounter>,
    /// Attaches in namespaces, where that must be.
    tender: Option<Tender>,
    /// The kernel takes no program: it is not asked again.
    refused: bool,
    /// Rows of namespaces that have gone, as they were read last.
    ended: HashMap<NetnsCookie, u64>,
    strangers: Strangers,
}

impl Nat {
    /// Attaches, unless that was done, or connection tracking is not loaded yet.
    pub fn tend(&mut self, census: &Arc<Mutex<Census>>) {
        if self.counter.is_some() || self.refused || !is_loaded() {
            return;
        }
        // Read anew: the module's types came with the module.
        let counter = Kernel::read().map_err(anyhow::Error::from).and_then(|kernel| NatCounter::attach(&kernel));
        match counter {
            Ok(counter) => {
                self.tender = counter.hooks().and_then(|hooks| Tender::start(hooks, Arc::clone(census)).ok());
                self.counter = Some(counter);
            }
            Err(error) => {
                eprintln!("warning: translations are not counted: {error:#}");
                self.refused = true;
            }
        }
    }

    /// The program, its kind, and whether it is attached everywhere it should be. `None` while there is nothing to attach
    /// to.
    pub fn program(&self) -> Option<(&'static str, Kind, bool, Option<ProgramRuns>)> {
        match &self.counter {
            Some(counter) => {
                let (name, kind, runs) = counter.program();
                Some((name, kind, self.tender.as_ref().is_none_or(Tender::is_everywhere), runs))
            }
            None => self.refused.then_some(("nat_confirm", Kind::Kprobe, false, None)),
        }
    }

    /// Takes in a reading. `tracking` are namespaces whose connection tracking was found at work.
    ///
    /// Says whether everything could be read.
    pub fn take(&mut self, store: &mut Store, tracking: &[NetnsCookie], census: &Census) -> bool {
        let Some(counter) = &mut self.counter else { return true };
        if let Some(tender) = &self.tender {
            tender.is_tracking(tracking);
        }
        let counts = counter.read();
        let success = counts.is_ok();
        let counts = counts.unwrap_or_default();
        // There before the first.
        let nothing = |cookie: &NetnsCookie| NatCount { cookie: *cookie, source: 0, destination: 0 };
        let stage: Arc<str> = "nat".into();
        store.counter(Metric::Events, &[&stage], Source(0, 0), 0);
        let attached = self.tender.as_ref().map_or_else(|| tracking.to_vec(), Tender::attached);
        let known: HashSet<_> = counts.iter().map(|count| count.cookie).collect();
        let without = attached.iter().filter(|cookie| !known.contains(cookie)).map(nothing);
        let mut ended = HashMap::new();
        self.strangers.begin();
        for count in counts.iter().copied().chain(without) {
            let source = Source(count.cookie.0, 0);
            if let Some(netns) = self.strangers.name(Some(count.cookie), census) {
                for (kind, connections) in [("snat", count.source), ("dnat", count.destination)] {
                    store.counter(Metric::NatTranslations, &[&netns, &kind.into()], source, connections);
                }
            }
            store.counter(Metric::Events, &[&stage], source, count.source + count.destination);
            if !census.is_alive(count.cookie) {
                ended.insert(count.cookie, count.source + count.destination);
            }
        }
        store.counter(Metric::EventsLost, &[&"nat-overflow".into()], Source(0, 0), counter.overflow());
        let before = std::mem::replace(&mut self.ended, ended);
        let is_over = |cookie| self.ended.get(&cookie).is_some_and(|count| before.get(&cookie) == Some(count));
        if before.keys().any(|cookie| is_over(*cookie)) {
            // What stays is only read again.
            let _ = counter.forget(is_over);
        }
        success
    }
}
