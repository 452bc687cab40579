use std::fmt::Write;

use super::alarm::{Alarm, Severity, alarms, full_in, percent};
use super::record::{DuringRecord, PressureRecord};
use crate::output::{Style, printable, shortened};

/// Longest namespace name shown whole.
const NETNS: usize = 20;
/// Sources named on the one line of a namespace that nothing is wrong with.
const BRIEFLY: usize = 3;

/// What is shown beside the table itself.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// List the sources of every namespace, not only where something is wrong.
    pub every_source: bool,
    /// Namespaces that are not among the records as they have never used connection tracking.
    pub left_out: usize,
    /// Colours.
    pub style: Style,
}

/// All namespaces as a table, then what is wrong with some, then who holds the entries. The fullest comes first.
pub fn table(records: &[PressureRecord], shown: Shown) -> String {
    let mut records: Vec<&PressureRecord> = records.iter().collect();
    records.sort_by(|a, b| b.entries.cmp(&a.entries).then_with(|| a.netns.cmp(&b.netns)));
    let mut out = String::new();
    if !records.is_empty() {
        columns(&mut out, &records, shown.style);
    }
    footer(&mut out, &records, shown);
    let mut healthy = Vec::new();
    for record in records {
        let found = alarms(record);
        if found.is_empty() && !shown.every_source {
            healthy.push(record);
        } else {
            concern(&mut out, record, &found, shown.style);
        }
    }
    briefly(&mut out, &healthy, shown.style);
    out
}

fn columns(out: &mut String, records: &[&PressureRecord], style: Style) {
    let limits = limit_of_all(records).is_none();
    let mut rows = vec![heading(limits)];
    rows.extend(records.iter().map(|record| row(record, limits)));
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let severities = records.iter().map(|record| alarms(record).first().map(|alarm| alarm.severity));
    for (row, severity) in rows.iter().zip(std::iter::once(None).chain(severities)) {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if at == 0 { write!(line, "{cell:width$}") } else { write!(line, "  {cell:>width$}") };
        }
        let painted = match severity {
            Some(Severity::Bad) => style.bad(&line),
            Some(Severity::Watch) => style.change(&line),
            None => line,
        };
        let _ = writeln!(out, "{}", if out.is_empty() { style.strong(&painted) } else { painted });
    }
}

fn heading(limits: bool) -> Vec<String> {
    let names = ["namespace", "entries", "limit", "used", "growth", "full in", "drop"];
    let more = ["early_drop", "insert_failed", "invalid"];
    names.iter().chain(&more).filter(|name| limits || **name != "limit").map(|name| (*name).to_owned()).collect()
}

fn row(record: &PressureRecord, limits: bool) -> Vec<String> {
    let number = |value: Option<u64>| value.map_or_else(|| "?".to_owned(), |value| value.to_string());
    let mut cells = vec![shortened(&printable(&record.netns), NETNS).into_owned(), record.entries.to_string()];
    if limits {
        cells.push(if record.limit == Some(0) { "none".to_owned() } else { number(record.limit) });
    }
    cells.push(record.ratio.map_or_else(|| "-".to_owned(), percent));
    cells.push(record.during.as_ref().map_or_else(|| "?".to_owned(), growth));
    cells.push(full_in(record));
    cells.extend([record.drops, record.early_drops, record.insert_failed, record.invalid].map(number));
    cells
}

fn growth(during: &DuringRecord) -> String {
    if during.entries == 0 || during.seconds <= 0.0 {
        return "-".to_owned();
    }
    let rate = during.entries as f64 / during.seconds;
    if rate.abs() < 1.0 { format!("{rate:+.1}/s") } else { format!("{rate:+.0}/s") }
}

/// The limit, if it is the same everywhere, as it is on kernels that know only one.
fn limit_of_all(records: &[&PressureRecord]) -> Option<u64> {
    let first = records.first()?.limit.filter(|limit| *limit > 0)?;
    records.iter().all(|record| record.limit == Some(first)).then_some(first)
}

fn footer(out: &mut String, records: &[&PressureRecord], shown: Shown) {
    let mut notes = Vec::new();
    if let Some(limit) = limit_of_all(records) {
        notes.push(format!("limit {limit} entries each"));
    }
    if let Some(during) = records.iter().find_map(|record| record.during.as_ref()) {
        notes.push(format!("growth over {:.1} s", during.seconds));
    }
    match shown.left_out {
        0 => {}
        looked if records.is_empty() => {
            notes.push(format!("none of {looked} namespaces has ever tracked a connection"))
        }
        1 => notes.push("1 namespace that never tracked a connection is left out".to_owned()),
        many => notes.push(format!("{many} namespaces that never tracked a connection are left out")),
    }
    if !notes.is_empty() {
        let _ = writeln!(out, "{}", shown.style.faint(&notes.join("; ")));
    }
}

/// What is wrong with a namespace, and who holds its entries.
fn concern(out: &mut String, record: &PressureRecord, alarms: &[Alarm], style: Style) {
    out.push('\n');
    if alarms.is_empty() {
        let nobody = if record.entries == 0 { ": no entries" } else { "" };
        let _ = writeln!(out, "{}{nobody}", style.strong(&printable(&record.netns)));
    }
    for alarm in alarms {
        let sentence = printable(&alarm.sentence);
        let painted = match alarm.severity {
            Severity::Bad => style.bad(&sentence),
            Severity::Watch => style.change(&sentence),
        };
        let _ = writeln!(out, "{painted}");
    }
    sources(out, record, style);
    for look in alarms.iter().flat_map(|alarm| &alarm.look) {
        let _ = writeln!(out, "  {}", style.faint(&format!("try: {}", printable(look))));
    }
}

fn sources(out: &mut String, record: &PressureRecord, style: Style) {
    let top = record.top.as_deref().unwrap_or_default();
    let address = top.iter().map(|source| source.src.len()).max().unwrap_or_default();
    let entries = top.iter().map(|source| source.entries.to_string().len()).max().unwrap_or_default();
    for source in top {
        let share = percent(record.share(source));
        let _ = writeln!(out, "  {:address$}  {:>entries$}  {share:>5}", source.src, source.entries);
    }
    let mut notes = Vec::new();
    let more = record.sources.unwrap_or_default().saturating_sub(top.len() as u64);
    if more > 0 {
        notes.push(format!("and {more} more {}", if more == 1 { "source" } else { "sources" }));
    }
    if record.top_exact == Some(false) {
        notes.push("the table was rebuilt while it was read: these counts are not exact".to_owned());
    }
    if let Some(age) = record.top_age_seconds.filter(|age| *age >= 1.0) {
        notes.push(format!("read {age:.0} s ago"));
    }
    if !notes.is_empty() {
        let _ = writeln!(out, "  {}", style.faint(&notes.join("; ")));
    }
}

/// A line for each namespace that nothing is wrong with.
fn briefly(out: &mut String, records: &[&PressureRecord], style: Style) {
    let named: Vec<(&str, String)> = records
        .iter()
        .filter_map(|record| {
            let top = record.top.as_ref().filter(|top| !top.is_empty())?;
            let one = |source: &super::SourceRecord| format!("{} {}", source.src, source.entries);
            let list: Vec<String> = top.iter().take(BRIEFLY).map(one).collect();
            let more = record.sources.unwrap_or_default().saturating_sub(list.len() as u64);
            let rest = if more > 0 { format!(", {more} more") } else { String::new() };
            Some((record.netns.as_str(), list.join(", ") + &rest))
        })
        .collect();
    if named.is_empty() {
        return;
    }
    let width = named.iter().map(|(name, _)| printable(name).chars().count().min(NETNS)).max().unwrap_or_default();
    let _ = writeln!(out, "\n{}", style.strong("entries by source"));
    for (name, list) in named {
        let _ = writeln!(out, "{:width$}  {list}", shortened(&printable(name), NETNS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::conntrack::SourceRecord;

    fn record(netns: &str, entries: u64, drops: u64) -> PressureRecord {
        let source = |src: &str, entries| SourceRecord { src: src.to_owned(), entries };
        PressureRecord {
            kind: "conntrack",
            time: None,
            netns: netns.to_owned(),
            netns_inode: 1,
            in_use: true,
            entries,
            limit: Some(1000),
            ratio: Some(entries as f64 / 1000.0),
            drops: Some(drops + 2),
            early_drops: Some(0),
            insert_failed: Some(2),
            invalid: None,
            found: Some(0),
            insert: Some(0),
            error: Some(0),
            search_restart: Some(0),
            clash_resolve: Some(0),
            chain_toolong: Some(0),
            during: Some(DuringRecord {
                seconds: 2.0,
                entries: 4,
                drops: Some(drops),
                early_drops: Some(0),
                insert_failed: Some(0),
                invalid: Some(0),
            }),
            top: Some(vec![source("10.0.0.7", entries - 1), source("fd00::7", 1)]),
            top_of: Some(entries),
            sources: Some(3),
            top_exact: Some(true),
            top_age_seconds: Some(0.0),
            seconds_until_full: Some((1000.0 - entries as f64) / 2.0),
        }
    }

    fn plain(records: &[PressureRecord]) -> String {
        table(records, Shown { every_source: false, left_out: 2, style: Style::PLAIN })
    }

    #[test]
    fn says_in_words_what_is_wrong() {
        let text = plain(&[record("calm", 10, 0), record("busy", 930, 7)]);
        let expected = "\
namespace  entries  used  growth  full in  drop  early_drop  insert_failed  invalid
busy           930  93 %    +2/s     35 s     9           0              2        ?
calm            10   1 %    +2/s    8 min     2           0              2        ?
limit 1000 entries each; growth over 2.0 s; 2 namespaces that never tracked a connection are left out

conntrack table of busy is 93 % full; full in about 35 s at this rate; 10.0.0.7 holds 99 % of it
busy: 7 packets dropped for want of room in the table (7 in the last 2.0 s)
busy: 2 insertions failed (none in the last 2.0 s): no free port for NAT, or two packets of a flow raced
  10.0.0.7  929   99 %
  fd00::7     1   <1 %
  and 1 more source
  try: ip netns exec busy conntrack -L -s 10.0.0.7
  try: sysctl net.netfilter.nf_conntrack_max   # raise it in the machine's own namespace
  try: dmesg | grep 'table full'
  try: ip netns exec busy nft list ruleset

calm: 2 insertions failed (none in the last 2.0 s): no free port for NAT, or two packets of a flow raced
  10.0.0.7  9   90 %
  fd00::7   1   10 %
  and 1 more source
  try: ip netns exec calm nft list ruleset
";
        assert_eq!(text, expected, "{text}");
    }

    #[test]
    fn a_limit_that_differs_has_a_column_and_a_name_cannot_reach_the_terminal() {
        let (mut one, other) = (record("a\x1b[2J", 10, 0), record("b", 9, 0));
        (one.limit, one.ratio, one.insert_failed, one.drops) = (Some(0), None, Some(0), Some(0));
        let text = plain(&[one, other]);
        assert!(text.lines().next().is_some_and(|line| line.contains("  limit  ")), "{text}");
        assert!(text.contains("none") && text.contains("1000") && !text.contains('\x1b'), "{text}");
        assert!(text.contains("a\\u{1b}[2J  10.0.0.7 9, fd00::7 1, 1 more"), "{text}");
    }
}
