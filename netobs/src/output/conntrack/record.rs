use serde::Serialize;

use crate::conntrack::{Counter, Growth, Pressure};

/// How full the conntrack table of a namespace is, and who fills it.
#[derive(Clone, Debug, Serialize)]
pub struct PressureRecord {
    /// `conntrack`
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// When it was read, RFC 3339.
    pub time: Option<String>,
    /// The namespace's name.
    pub netns: String,
    /// Its inode.
    pub netns_inode: u32,
    /// Whether there is an entry or was anything counted, ever.
    pub in_use: bool,
    /// Entries, as `conntrack -C` counts them.
    pub entries: u64,
    /// Entries at most. 0 is no limit.
    pub limit: Option<u64>,
    /// Entries as a share of the limit.
    pub ratio: Option<f64>,
    /// Packets dropped: no room for an entry, or it could not be entered. This and what follows are the sums of what
    /// `conntrack -S` shows for each CPU.
    pub drops: Option<u64>,
    /// Entries removed before their time to make room.
    pub early_drops: Option<u64>,
    /// Entries that could not be entered.
    pub insert_failed: Option<u64>,
    /// Packets that belong to no flow and can begin none.
    pub invalid: Option<u64>,
    /// Searches that found an entry where none was to be.
    pub found: Option<u64>,
    /// Entries made through ctnetlink.
    pub insert: Option<u64>,
    /// Packets that could not be tracked.
    pub error: Option<u64>,
    /// Searches begun anew.
    pub search_restart: Option<u64>,
    /// Clashes settled without loss.
    pub clash_resolve: Option<u64>,
    /// Entries refused because their place in the hash table was too crowded.
    pub chain_toolong: Option<u64>,
    /// What came since the reading before; null at the first.
    pub during: Option<DuringRecord>,
    /// The sources with most entries; null if they were not read.
    pub top: Option<Vec<SourceRecord>>,
    /// Entries that were read for it.
    pub top_of: Option<u64>,
    /// Sources there are.
    pub sources: Option<u64>,
    /// False if the table was rebuilt while it was read: the counts are not exact.
    pub top_exact: Option<bool>,
    /// Seconds since they were read: where that takes long they are not read every time.
    pub top_age_seconds: Option<f64>,
    /// Seconds until the table is full if it goes on as `during` says; 0 if it is full; null if it does not grow.
    pub seconds_until_full: Option<f64>,
}

/// What changed between two readings.
#[derive(Clone, Debug, Serialize)]
pub struct DuringRecord {
    /// Time between them.
    pub seconds: f64,
    /// Entries that came, or, negative, went.
    pub entries: i64,
    /// Packets dropped.
    pub drops: Option<u64>,
    /// Entries removed before their time.
    pub early_drops: Option<u64>,
    /// Entries that could not be entered.
    pub insert_failed: Option<u64>,
    /// Packets that belong to no flow.
    pub invalid: Option<u64>,
}

/// A source and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceRecord {
    /// The source of the original direction, before any NAT.
    pub src: String,
    /// Its entries.
    pub entries: u64,
}

impl PressureRecord {
    /// What there is to say of a namespace; `time` is when it was looked at.
    pub fn of(pressure: &Pressure, time: Option<String>) -> Self {
        let total = |counter| pressure.totals.get(counter);
        let sources = pressure.sources.as_ref();
        let source =
            |(address, entries): &(std::net::IpAddr, u64)| SourceRecord { src: address.to_string(), entries: *entries };
        Self {
            kind: "conntrack",
            time,
            netns: pressure.netns.clone(),
            netns_inode: pressure.inode.0,
            in_use: pressure.in_use(),
            entries: pressure.table.entries,
            limit: pressure.table.limit,
            ratio: pressure.ratio().map(|ratio| rounded(ratio, 6)),
            drops: total(Counter::Drop),
            early_drops: total(Counter::EarlyDrop),
            insert_failed: total(Counter::InsertFailed),
            invalid: total(Counter::Invalid),
            found: total(Counter::Found),
            insert: total(Counter::Insert),
            error: total(Counter::Error),
            search_restart: total(Counter::SearchRestart),
            clash_resolve: total(Counter::ClashResolve),
            chain_toolong: total(Counter::ChainTooLong),
            during: pressure.growth.as_ref().map(DuringRecord::of),
            top: sources.map(|sources| sources.top.iter().map(source).collect()),
            top_of: sources.map(|sources| sources.entries),
            sources: sources.map(|sources| sources.distinct),
            top_exact: sources.map(|sources| sources.steady),
            top_age_seconds: sources.map(|_| rounded(pressure.sources_age.as_secs_f64(), 1)),
            seconds_until_full: pressure.seconds_until_full().map(|seconds| rounded(seconds, 1)),
        }
    }

    /// The largest source, and its share of what was read.
    pub(super) fn largest(&self) -> Option<(&str, f64)> {
        let first = self.top.as_ref()?.first()?;
        Some((&first.src, self.share(first)))
    }

    /// A source's share of what was read.
    pub(super) fn share(&self, source: &SourceRecord) -> f64 {
        let all = self.top_of.filter(|all| *all > 0).unwrap_or(source.entries.max(1));
        source.entries as f64 / all as f64
    }
}

impl DuringRecord {
    fn of(growth: &Growth) -> Self {
        Self {
            seconds: rounded(growth.over.as_secs_f64(), 3),
            entries: growth.entries,
            drops: growth.counted.get(Counter::Drop),
            early_drops: growth.counted.get(Counter::EarlyDrop),
            insert_failed: growth.counted.get(Counter::InsertFailed),
            invalid: growth.counted.get(Counter::Invalid),
        }
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
