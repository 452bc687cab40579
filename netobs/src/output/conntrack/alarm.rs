//! What is wrong with a table, in a sentence, and what to look at.

use super::record::PressureRecord;
use crate::explain::{Place, advice};

/// A table this full is worth a look.
const FILLING: f64 = 0.75;
/// A table this full is about to hurt: one burst and packets are dropped.
const NEARLY_FULL: f64 = 0.90;
/// A forecast further away than this is no news.
const SOON: f64 = 24.0 * 3600.0;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// Packets or flows are lost now, or are about to be.
    Bad,
    /// It has been bad, or may become so.
    Watch,
}

/// Something that is wrong.
#[derive(Clone, Debug)]
pub(super) struct Alarm {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub sentence: String,
    /// Commands to look at it with.
    pub look: Vec<String>,
}

/// Everything that is wrong with a namespace's table, the worst first.
pub(super) fn alarms(record: &PressureRecord) -> Vec<Alarm> {
    let mut found: Vec<Alarm> = [fullness(record), no_room(record), early(record), clash(record), crowded(record)]
        .into_iter()
        .flatten()
        .collect();
    found.sort_by_key(|alarm| alarm.severity == Severity::Watch);
    found
}

fn fullness(record: &PressureRecord) -> Option<Alarm> {
    let ratio = record.ratio.filter(|ratio| *ratio >= FILLING)?;
    let full = record.limit.is_some_and(|limit| record.entries >= limit);
    let degree = if full { "full".to_owned() } else { format!("{} full", percent(ratio)) };
    let mut sentence = format!("conntrack table of {} is {degree}", record.netns);
    if full {
        sentence.push_str("; a new connection gets in only where an unanswered one can be evicted");
    } else if let Some(seconds) = record.seconds_until_full.filter(|seconds| *seconds <= SOON) {
        sentence.push_str(&format!("; full in about {} at this rate", duration(seconds)));
    }
    if let Some((source, share)) = record.largest() {
        sentence.push_str(&format!("; {source} holds {} of it", percent(share)));
    }
    let list = match record.largest() {
        Some((source, _)) => at(record, "conntrack -L -s SRC in NETNS", Some(source)),
        None => at(record, "conntrack -L in NETNS", None),
    };
    let severity = if ratio >= NEARLY_FULL { Severity::Bad } else { Severity::Watch };
    // One number for the whole machine; it can be written only where the machine itself is.
    let room = "sysctl net.netfilter.nf_conntrack_max   # raise it in the machine's own namespace".to_owned();
    Some(Alarm { severity, sentence, look: vec![list, room] })
}

/// Drops that no failed insertion explains.
fn no_room(record: &PressureRecord) -> Option<Alarm> {
    let count = record.drops?.checked_sub(record.insert_failed?).filter(|count| *count > 0)?;
    let during = record.during.as_ref();
    let now = during.and_then(|during| Some(during.drops?.saturating_sub(during.insert_failed?)));
    let sentence = format!(
        "{}: {} dropped for want of room in the table{}",
        record.netns,
        counted(count, "packet"),
        lately(record, now)
    );
    let look = vec!["dmesg | grep 'table full'".to_owned()];
    Some(Alarm { severity: severity(now), sentence, look })
}

fn early(record: &PressureRecord) -> Option<Alarm> {
    let count = record.early_drops.filter(|count| *count > 0)?;
    let now = record.during.as_ref().and_then(|during| during.early_drops);
    let sentence = format!(
        "{}: {} of unanswered flows evicted to make room{}; what they were translated to is forgotten",
        record.netns,
        counted_as(count, "entry", "entries"),
        lately(record, now)
    );
    Some(Alarm { severity: severity(now), sentence, look: Vec::new() })
}

fn clash(record: &PressureRecord) -> Option<Alarm> {
    let count = record.insert_failed.filter(|count| *count > 0)?;
    let now = record.during.as_ref().and_then(|during| during.insert_failed);
    let sentence = format!(
        "{}: {} failed{}: no free port for NAT, or two packets of a flow raced",
        record.netns,
        counted(count, "insertion"),
        lately(record, now)
    );
    let look = vec![at(record, "nft list ruleset in NETNS", None)];
    Some(Alarm { severity: severity(now), sentence, look })
}

fn crowded(record: &PressureRecord) -> Option<Alarm> {
    let count = record.chain_toolong.filter(|count| *count > 0)?;
    let entries = counted_as(count, "entry", "entries");
    let sentence = format!("{}: {entries} refused: too many share a place in the hash table", record.netns);
    let look = vec!["sysctl net.netfilter.nf_conntrack_buckets   # raise it".to_owned()];
    Some(Alarm { severity: Severity::Watch, sentence, look })
}

fn at(record: &PressureRecord, look: &str, source: Option<&str>) -> String {
    let (netns, src) = (Some(record.netns.clone()), source.map(str::to_owned));
    advice(look, &Place { netns, src, ..Place::default() })
}

fn severity(now: Option<u64>) -> Severity {
    if now.is_some_and(|now| now > 0) { Severity::Bad } else { Severity::Watch }
}

/// ` (12 in the last 1.0 s)`
fn lately(record: &PressureRecord, now: Option<u64>) -> String {
    match (now, &record.during) {
        (Some(0), Some(during)) => format!(" (none in the last {:.1} s)", during.seconds),
        (Some(now), Some(during)) => format!(" ({now} in the last {:.1} s)", during.seconds),
        _ => String::new(),
    }
}

fn counted(number: u64, noun: &str) -> String {
    counted_as(number, noun, &format!("{noun}s"))
}

fn counted_as(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Never says 100 % of what is not whole, nor 0 % of what is there.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        nothing if nothing <= 0.0 => "0 %".to_owned(),
        little if little < 1.0 => "<1 %".to_owned(),
        some => format!("{} %", some.floor()),
    }
}

/// A forecast, no more exact than it deserves.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        now if now < 1.0 => "less than 1 s".to_owned(),
        short if short < 90.0 => format!("{short:.0} s"),
        minutes if minutes < 90.0 * 60.0 => format!("{:.0} min", minutes / 60.0),
        hours => format!("{:.0} h", hours / 3600.0),
    }
}

/// A forecast for the table's column; `-` for one that is no news.
pub(super) fn full_in(record: &PressureRecord) -> String {
    match record.seconds_until_full {
        Some(seconds) if seconds <= 0.0 => "full".to_owned(),
        Some(seconds) if seconds < 1.0 => "<1 s".to_owned(),
        Some(seconds) if seconds <= SOON => duration(seconds),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_round_as_they_are_sure() {
        for (share, text) in [(0.0, "0 %"), (0.001, "<1 %"), (0.935, "93 %"), (0.9999, "99 %"), (1.0, "100 %")] {
            assert_eq!(percent(share), text);
        }
        for (seconds, text) in [(0.2, "less than 1 s"), (42.0, "42 s"), (240.0, "4 min"), (36_000.0, "10 h")] {
            assert_eq!(duration(seconds), text);
        }
    }
}
