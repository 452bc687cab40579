use std::time::Duration;

use super::{Sources, Table, Totals};
use crate::netns::NetnsInode;

/// What is known of one namespace's connection tracking at one moment.
#[derive(Clone, Debug)]
pub struct Pressure {
    /// The namespace's name: `host`, a pinned name, or `pid:N`.
    pub netns: String,
    /// Its inode.
    pub inode: NetnsInode,
    /// How full it is.
    pub table: Table,
    /// What was counted since the namespace was made. The kernel's counters have 32 bits per CPU; one that wrapped before
    /// it was first looked at is as low as `conntrack -S` shows it.
    pub totals: Totals,
    /// What became of it since the last look; `None` at the first.
    pub growth: Option<Growth>,
    /// Who fills it; `None` if nobody asked.
    pub sources: Option<Sources>,
    /// How long ago they were read. They are not read every time where that takes long.
    pub sources_age: Duration,
}

/// The difference of two readings.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    /// Time between them.
    pub over: Duration,
    /// Entries that came, or, negative, went.
    pub entries: i64,
    /// What was counted.
    pub counted: Totals,
}

impl Growth {
    /// Entries a second.
    pub fn rate(&self) -> Option<f64> {
        (!self.over.is_zero()).then(|| self.entries as f64 / self.over.as_secs_f64())
    }
}

impl Pressure {
    /// Entries as a share of the limit. `None` without a limit.
    pub fn ratio(&self) -> Option<f64> {
        let limit = self.table.limit.filter(|limit| *limit > 0)?;
        Some(self.table.entries as f64 / limit as f64)
    }

    /// Seconds until the table is full if it goes on growing as it did between the last two readings; 0 if it is full.
    /// `None` if it does not grow, has no limit, or was looked at only once.
    pub fn seconds_until_full(&self) -> Option<f64> {
        let limit = self.table.limit.filter(|limit| *limit > 0)?;
        match limit.checked_sub(self.table.entries) {
            None | Some(0) => Some(0.0),
            Some(room) => {
                let rate = self.growth.as_ref()?.rate().filter(|rate| *rate > 0.0)?;
                Some(room as f64 / rate)
            }
        }
    }

    /// Whether anything was ever tracked there, as far as can be seen.
    pub fn in_use(&self) -> bool {
        self.table.entries > 0 || self.totals.any()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Statistics;
    use super::*;

    fn pressure(entries: u64, limit: Option<u64>, grown: Option<i64>) -> Pressure {
        let nothing = Statistics::default().totals();
        let growth = |entries| Growth { over: Duration::from_secs(2), entries, counted: nothing };
        Pressure {
            netns: "x".into(),
            inode: NetnsInode(1),
            table: Table { entries, limit },
            totals: nothing,
            growth: grown.map(growth),
            sources: None,
            sources_age: Duration::ZERO,
        }
    }

    #[test]
    fn forecasts_only_what_grows_towards_a_limit() {
        assert_eq!(pressure(500, Some(1000), Some(20)).seconds_until_full(), Some(50.0));
        for (entries, limit, grown) in [
            (500, Some(1000), None),
            (500, Some(1000), Some(0)),
            (500, Some(1000), Some(-20)),
            (500, Some(0), Some(20)),
            (500, None, Some(20)),
        ] {
            assert_eq!(pressure(entries, limit, grown).seconds_until_full(), None, "{entries} {limit:?} {grown:?}");
        }
        // The kernel counts an entry before it looks whether there is room.
        for entries in [1000, 1003] {
            assert_eq!(pressure(entries, Some(1000), Some(-1)).seconds_until_full(), Some(0.0));
        }
    }

    #[test]
    fn a_table_without_limit_has_no_ratio() {
        assert_eq!(pressure(250, Some(1000), None).ratio(), Some(0.25));
        assert_eq!(pressure(250, Some(0), None).ratio(), None);
        assert_eq!(pressure(250, None, None).ratio(), None);
    }

    #[test]
    fn an_empty_table_that_never_counted_is_not_in_use() {
        assert!(!pressure(0, Some(1000), None).in_use());
        assert!(pressure(1, Some(1000), None).in_use());
    }
}
