//! Kernel time and time of day.

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

/// `CLOCK_MONOTONIC` now, nanoseconds: the clock of `bpf_ktime_get_ns`.
pub fn monotonic() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .map(std::time::Duration::from)
        .unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Turns kernel time into time of day, by the difference of the two clocks when it was made.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    boot: OffsetDateTime,
}

impl WallClock {
    /// Compares the clocks.
    pub fn new() -> Self {
        let since = i64::try_from(monotonic()).unwrap_or(i64::MAX);
        Self { boot: OffsetDateTime::now_utc() - Duration::nanoseconds(since) }
    }

    /// RFC 3339 with microseconds, in UTC.
    pub fn rfc3339(self, monotonic: u64) -> Option<String> {
        let since = i64::try_from(monotonic / 1000).ok()?;
        let time = self.boot + Duration::microseconds(since);
        // Microseconds are what the offsets of hops are read in; six digits always, so that columns line up.
        let time = time.replace_microsecond(time.microsecond()).ok()?;
        let text = time.format(&Rfc3339).ok()?;
        let (seconds, fraction) = match text.trim_end_matches('Z').split_once('.') {
            Some((seconds, fraction)) => (seconds.to_owned(), fraction.to_owned()),
            None => (text.trim_end_matches('Z').to_owned(), String::new()),
        };
        Some(format!("{seconds}.{fraction:0<6}Z"))
    }
}
