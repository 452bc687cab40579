//! Drops as a person reads them: a line a row, at most 100 columns, faults first and what is harmless behind.

use super::super::text::{count, wrap};
use super::super::{Style, printable, shortened};
use super::record::{DropCountRecord, DropSummaryRecord};

/// Columns a text line may take.
const WIDTH: usize = 100;
/// Indent of what explains a row.
const INDENT: &str = "      ";
/// The most columns of reason, function, namespace, device and protocol.
const COLUMNS: [(&str, usize); 5] = [("REASON", 24), ("FUNCTION", 24), ("NAMESPACE", 16), ("DEVICE", 15), ("PROTO", 8)];

/// Everything, for a screen.
pub(super) fn screen(rows: &[DropCountRecord], summary: &DropSummaryRecord, style: Style, explain: bool) -> String {
    let rate: f64 = rows.iter().map(|row| row.rate).sum();
    let mut text = format!(
        "{}   {}/s now, {} s, Ctrl-C ends it\n",
        style.strong(&count_of(summary)),
        thousands(rate.round() as u64),
        summary.seconds.round()
    );
    losses(&mut text, summary, style);
    text.push('\n');
    table(&mut text, rows, style, explain);
    text
}

/// What changed in an interval.
pub(super) fn block(rows: &[DropCountRecord], summary: &DropSummaryRecord, style: Style, explain: bool) -> String {
    let new: u64 = rows.iter().map(|row| row.new).sum();
    let interval = rows.first().map_or(0.0, |row| row.interval);
    let mut text = format!(
        "{} in {interval:.1} s, {} after {:.1} s\n",
        style.strong(&format!("{} dropped", thousands(new))),
        thousands(summary.drops),
        summary.seconds
    );
    table(&mut text, rows, style, explain);
    losses(&mut text, summary, style);
    text.push('\n');
    text
}

/// The totals.
pub(super) fn summary(rows: &[DropCountRecord], summary: &DropSummaryRecord, style: Style, explain: bool) -> String {
    let mut text = String::new();
    if rows.is_empty() {
        text.push_str(&format!("Nothing was dropped in {:.1} s.\n", summary.seconds));
    } else {
        text.push_str(&format!("{} in {:.1} s\n", style.strong(&count_of(summary)), summary.seconds));
        table(&mut text, &by_count(rows), style, explain);
    }
    losses(&mut text, summary, style);
    if summary.lost.overflow == 0 && summary.lost.missed == 0 {
        text.push_str("No drop is known to be missing.\n");
    }
    if !explain && rows.iter().any(|row| row.fault != Some(false)) {
        text.push_str(&style.faint("--explain says what each of them means.\n"));
    }
    text
}

fn by_count(rows: &[DropCountRecord]) -> Vec<DropCountRecord> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| std::cmp::Reverse(row.count));
    // Over the whole time a rate says less than the total.
    rows.iter_mut().for_each(|row| row.rate = f64::NAN);
    rows
}

fn count_of(summary: &DropSummaryRecord) -> String {
    let harmless = match summary.harmless {
        0 => String::new(),
        harmless => format!(", {} of them as healthy networks do", thousands(harmless)),
    };
    format!("{} dropped{harmless}", thousands(summary.drops))
}

fn losses(text: &mut String, summary: &DropSummaryRecord, style: Style) {
    let lost = summary.lost;
    if lost.overflow > 0 {
        let line = format!(
            "{} in none of the {}: the table is full; use a FILTER, or --rows for a larger one.",
            count(lost.overflow, "more drop"),
            count(summary.rows, "row")
        );
        text.push_str(&format!("{}\n", style.bad(&line)));
    }
    if lost.missed > 0 {
        let line = format!("{} not counted: the kernel skipped our program.", count(lost.missed, "more drop"));
        text.push_str(&format!("{}\n", style.bad(&line)));
    }
}

/// Faults, then what may be one, both as they come; then what is harmless.
fn table(text: &mut String, rows: &[DropCountRecord], style: Style, explain: bool) {
    let cells: Vec<_> = rows.iter().map(cells).collect();
    let mut widths = COLUMNS.map(|(title, _)| title.len());
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let with_rate = rows.iter().any(|row| row.rate.is_finite());
    let rate_title = if with_rate { format!("  {:>9}", "RATE") } else { String::new() };
    let titles = line(&COLUMNS.map(|(title, _)| title.to_owned()), &widths);
    if !rows.is_empty() {
        text.push_str(&style.faint(&format!("{:>11}{rate_title}  {titles}", "COUNT")));
        text.push('\n');
    }
    let (mut last, mut told) = (None, std::collections::HashSet::new());
    for harmless in [false, true] {
        for (row, cells) in rows.iter().zip(&cells).filter(|(row, _)| (row.fault == Some(false)) == harmless) {
            if harmless && last == Some(false) {
                text.push_str(&style.faint("  as healthy networks do:\n"));
            }
            last = Some(harmless);
            let rate = if with_rate { format!("  {:>9}", rate(row)) } else { String::new() };
            let whole = format!("{:>11}{rate}  {}", thousands(row.count), line(cells, &widths));
            let whole = if harmless { style.faint(&whole) } else { whole };
            text.push_str(&whole);
            text.push('\n');
            // The same sentence need not be read twice.
            if explain && told.insert((row.explanation, row.netns.clone(), row.device.clone())) {
                explanation(text, row, style);
            }
        }
    }
}

fn explanation(text: &mut String, row: &DropCountRecord, style: Style) {
    let mut prose = vec![row.explanation.to_owned()];
    if row.fault != Some(false) && !row.causes.is_empty() {
        prose.push(format!("Usually: {}.", row.causes.join("; ")));
    }
    for line in prose.iter().flat_map(|sentence| wrap(sentence, WIDTH - INDENT.len())) {
        text.push_str(&format!("{INDENT}{}\n", printable(&line)));
    }
    if row.fault != Some(false) {
        for look in &row.look {
            text.push_str(&format!("{INDENT}{}\n", style.faint(&format!("try: {}", printable(look)))));
        }
    }
}

fn cells(row: &DropCountRecord) -> [String; 5] {
    let reason = row.reason.clone().unwrap_or_else(|| format!("reason {:#x}", row.reason_number));
    let function = row.function.clone().or_else(|| row.address.map(|address| format!("{address:#x}")));
    let netns = row.netns.clone().or_else(|| row.netns_inode.map(|inode| format!("netns {inode}")));
    let mut cells = [Some(reason), function, netns, row.device.clone(), row.proto.clone()]
        .map(|cell| cell.unwrap_or_else(|| "?".to_owned()));
    for (cell, (_, width)) in cells.iter_mut().zip(COLUMNS) {
        *cell = shortened(&printable(cell), width).into_owned();
    }
    cells
}

fn line(cells: &[String; 5], widths: &[usize; 5]) -> String {
    let padded: Vec<_> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
    padded.join("  ").trim_end().to_owned()
}

fn rate(row: &DropCountRecord) -> String {
    match row.rate {
        rate if rate >= 10.0 => format!("{}/s", thousands(rate.round() as u64)),
        rate if rate > 0.0 => format!("{rate:.1}/s"),
        _ => String::new(),
    }
}

/// `1234567` as `1,234,567`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn digits_come_in_groups_of_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
