//! The way of a packet, drawn as a line: the namespaces above, the devices on it, and a mark where it broke.

use std::time::Duration;

use crate::diagnose::{Place, Trail};
use crate::output::{Style, printable};

/// Strokes between two devices of one namespace, and between those of two, at least.
const INSIDE: usize = 1;
const BETWEEN: usize = 3;
/// Columns between the names of two namespaces, at least.
const GAP: usize = 2;

/// A device, and what is drawn above and below it.
struct Cell {
    /// The namespace's name; `None` if it is the one before's.
    netns: Option<String>,
    device: String,
    time: String,
    /// The packet got here.
    reached: bool,
    /// It got no further.
    broken: bool,
    /// It did not even get here, the first place of all.
    barred: bool,
}

/// The lines of a drawing at most `columns` wide; a way that is longer goes on below. None for a way without places.
/// With `times`, when the packet was at each device is written below it.
pub(super) fn drawing(trail: &Trail, times: bool, columns: usize, style: Style) -> Vec<String> {
    let cells = cells(trail, times);
    let mut lines = Vec::new();
    let mut rest = cells.as_slice();
    while !rest.is_empty() {
        let (row, others) = rest.split_at(fitting(rest, columns));
        lines.extend(draw(row, !others.is_empty(), style));
        rest = others;
    }
    lines
}

fn cells(trail: &Trail, times: bool) -> Vec<Cell> {
    let name = |name: &Option<String>| printable(name.as_deref().unwrap_or("?")).into_owned();
    let befores = [None].into_iter().chain(trail.places.iter().map(Some));
    let cell = |((index, place), before): ((usize, &Place), Option<&Place>)| Cell {
        netns: before.is_none_or(|before| before.netns != place.netns).then(|| name(&place.netns)),
        device: name(&place.device),
        time: place.after.filter(|_| times).map_or_else(String::new, told),
        reached: trail.breaks_at.is_none_or(|breaks| index < breaks),
        broken: trail.breaks_at == Some(index + 1),
        barred: index == 0 && trail.breaks_at == Some(0),
    };
    trail.places.iter().enumerate().zip(befores).map(cell).collect()
}

fn told(after: Duration) -> String {
    let micros = after.as_micros();
    if micros < 10_000 { format!("{micros} µs") } else { format!("{} ms", micros / 1000) }
}

/// How many cells fit: whole namespaces, and one at least.
fn fitting(cells: &[Cell], columns: usize) -> usize {
    let starts = starts(cells);
    let ends = cells.iter().zip(&starts).map(|(cell, start)| start + cell.width());
    let fit = ends.take_while(|end| end + GAP <= columns).count();
    // A namespace that does not fit begins the next row.
    let whole = |count: &usize| *count == cells.len() || cells.get(*count).is_some_and(|cell| cell.netns.is_some());
    (1..=fit).rev().find(whole).unwrap_or_else(|| (1..=cells.len()).find(whole).unwrap_or(cells.len()))
}

/// The column in which each cell begins.
fn starts(cells: &[Cell]) -> Vec<usize> {
    // The mark and a blank.
    let mut column = if cells.first().is_some_and(|first| first.barred) { 2 } else { 0 };
    let mut free = 0;
    let mut starts = Vec::new();
    for (index, cell) in cells.iter().enumerate() {
        if let Some(netns) = &cell.netns {
            // Next to the name before, too.
            column = column.max(free);
            free = column + netns.chars().count() + GAP;
        }
        starts.push(column);
        let strokes = if cells.get(index + 1).is_some_and(|next| next.netns.is_some()) { BETWEEN } else { INSIDE };
        column += cell.width() + strokes + 2;
    }
    starts
}

/// Namespaces, devices, and times if there are any. `goes_on`: in the next row.
fn draw(cells: &[Cell], goes_on: bool, style: Style) -> Vec<String> {
    let starts = starts(cells);
    let [mut above, mut line, mut below] = [String::new(), String::new(), String::new()];
    for (index, (cell, start)) in cells.iter().zip(&starts).enumerate() {
        pad(&mut above, *start);
        above += cell.netns.as_deref().unwrap_or_default();
        pad(&mut below, *start);
        below += &cell.time;
        if cell.barred {
            line += &format!("{} ", style.bad("╳"));
        }
        line += &if cell.reached { style.strong(&cell.device) } else { style.faint(&cell.device) };
        let strokes = match starts.get(index + 1) {
            Some(next) => next - start - cell.device.chars().count() - 2,
            None if goes_on || cell.broken => INSIDE,
            None => continue,
        };
        let link = match (cell.broken, cell.reached) {
            (true, _) => {
                let half = (strokes - 1) / 2;
                format!("{}{}{}", "─".repeat(half), style.bad("╳"), style.faint(&" ".repeat(strokes - 1 - half)))
            }
            (false, true) => "─".repeat(strokes),
            (false, false) => style.faint(&"┄".repeat(strokes)),
        };
        line += &format!(" {link} ");
    }
    let lines = [above, line, below].into_iter().map(|line| line.trim_end().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

fn pad(line: &mut String, columns: usize) {
    let missing = columns.saturating_sub(line.chars().count());
    line.extend(std::iter::repeat_n(' ', missing));
}

impl Cell {
    fn width(&self) -> usize {
        self.device.chars().count().max(self.time.chars().count())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::drawing;
    use crate::diagnose::{Place, Trail};
    use crate::output::Style;

    fn trail(breaks_at: Option<usize>) -> Trail {
        let place = |(netns, device, micros): (&str, &str, u64)| Place {
            netns: Some(netns.to_owned()),
            device: Some(device.to_owned()),
            seen: Some(true),
            after: Some(Duration::from_micros(micros)),
        };
        let places = [
            ("lab-c1", "eth0", 0),
            ("lab-host", "c1-h", 9),
            ("lab-host", "br0", 14),
            ("lab-host", "up0", 37),
            ("lab-inet", "eth0", 12041),
        ];
        Trail { places: places.into_iter().map(place).collect(), breaks_at }
    }

    #[track_caller]
    fn is_drawn(trail: &Trail, times: bool, columns: usize, expected: &[&str]) {
        let found = drawing(trail, times, columns, Style::PLAIN);
        assert_eq!(found, expected, "\n{}", found.join("\n"));
    }

    #[test]
    fn draws_a_way_with_its_times() {
        let expected = [
            "lab-c1   lab-host                 lab-inet",
            "eth0 ─── c1-h ─ br0 ─── up0 ───── eth0",
            "0 µs     9 µs   14 µs   37 µs     12 ms",
        ];
        is_drawn(&trail(None), true, 80, &expected);
    }

    #[test]
    fn marks_where_it_broke() {
        let expected = ["lab-c1   lab-host             lab-inet", "eth0 ─── c1-h ─ br0 ╳ up0 ┄┄┄ eth0"];
        is_drawn(&trail(Some(3)), false, 80, &expected);
        let expected = ["lab-c1   lab-host             lab-inet", "eth0 ─╳  c1-h ┄ br0 ┄ up0 ┄┄┄ eth0"];
        is_drawn(&trail(Some(1)), false, 80, &expected);
        let expected = ["  lab-c1   lab-host             lab-inet", "╳ eth0 ┄┄┄ c1-h ┄ br0 ┄ up0 ┄┄┄ eth0"];
        is_drawn(&trail(Some(0)), false, 80, &expected);
        let expected = ["lab-c1   lab-host             lab-inet", "eth0 ─── c1-h ─ br0 ─ up0 ─── eth0 ╳"];
        is_drawn(&trail(Some(5)), false, 80, &expected);
    }

    #[test]
    fn goes_on_in_the_next_row() {
        let expected = ["lab-c1   lab-host", "eth0 ─── c1-h ─ br0 ─ up0 ─", "lab-inet", "eth0"];
        is_drawn(&trail(None), false, 30, &expected);
        is_drawn(&Trail::default(), false, 30, &[]);
    }
}
