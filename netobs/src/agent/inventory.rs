//! What the JSON pages tell of namespaces themselves. It is read on a thread of its own: listing a full conntrack table
//! takes long, and a scrape must not wait for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::census::{Census, Namespace};
use crate::conntrack::{Depth, Survey, Wanted, is_loaded};
use crate::container::Owner;
use crate::output::conntrack::PressureRecord;
use crate::output::topology::{OwnerRecord, TopologyRecord};
use crate::topology::Topology;

/// The largest sources of each table that are told.
const TOP: usize = 10;
/// What was seen longer ago says nothing of how fast a table grows now.
const FRESH: Duration = Duration::from_secs(120);
/// Then it is looked at twice, so long apart.
const APART: Duration = Duration::from_millis(250);

/// Looks into every namespace when asked.
#[derive(Debug)]
pub struct Inventory {
    census: Arc<Mutex<Census>>,
    survey: Survey,
    surveyed: Option<Instant>,
}

impl Inventory {
    /// Of the namespaces of a census.
    pub fn new(census: Arc<Mutex<Census>>) -> Self {
        Self { census, survey: Survey::new(Wanted::All), surveyed: None }
    }

    /// How the namespaces are connected.
    ///
    /// # Errors
    /// Nothing can be looked into.
    pub fn topology(&mut self) -> Result<TopologyRecord, String> {
        let namespaces = self.alive().into_iter().map(|namespace| (namespace.inode, namespace)).collect();
        let topology = Topology::look(namespaces, |_, namespace: &Namespace| namespace.open());
        let topology = topology.map_err(|error| error.to_string())?;
        Ok(TopologyRecord::of(&topology, now(), |namespace| (namespace.name.to_string(), described(&namespace.owner))))
    }

    /// A record for each namespace that tracks connections; of a machine that tracks none, nothing.
    ///
    /// # Errors
    /// None can be looked into.
    pub fn conntrack(&mut self) -> Result<Vec<PressureRecord>, String> {
        if !is_loaded() {
            return Ok(Vec::new());
        }
        if self.surveyed.is_none_or(|surveyed| surveyed.elapsed() > FRESH) {
            self.look(Depth::Counters)?;
            sleep(APART);
        }
        self.look(Depth::Sources(TOP))
    }

    fn look(&mut self, depth: Depth) -> Result<Vec<PressureRecord>, String> {
        let namespaces = self.alive();
        let open = namespaces.iter().filter_map(|namespace| Some((namespace.name.to_string(), namespace.open()?)));
        let report = self.survey.look_into_all(open, depth);
        self.surveyed = Some(Instant::now());
        match report.refused.first() {
            Some((name, error)) if report.namespaces.is_empty() => Err(format!("{name}: {error}")),
            _ => {
                let now = now();
                Ok(report.namespaces.iter().map(|pressure| PressureRecord::of(pressure, now.clone())).collect())
            }
        }
    }

    /// By name.
    fn alive(&self) -> Vec<Namespace> {
        let mut alive = self.census.lock().unwrap_or_else(PoisonError::into_inner).alive();
        alive.sort_by(|a, b| (&a.name, a.inode).cmp(&(&b.name, b.inode)));
        alive
    }
}

/// What is not known is null.
fn described(owner: &Owner) -> OwnerRecord {
    let known = |text: &String| (!text.is_empty()).then(|| text.clone());
    OwnerRecord {
        runtime: known(&owner.runtime),
        container: known(&owner.container),
        pod: known(&owner.pod),
        namespace: known(&owner.namespace),
    }
}

fn now() -> Option<String> {
    let now = OffsetDateTime::now_utc();
    now.replace_millisecond(now.millisecond()).unwrap_or(now).format(&Rfc3339).ok()
}
