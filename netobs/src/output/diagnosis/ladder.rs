//! The ladder's rungs, a line each.

use std::collections::BTreeSet;

use crate::diagnose::{Rung, Step};
use crate::output::text::wrap;
use crate::output::{Style, printable};

/// Columns for a rung's name.
const NAME: usize = 11;

/// The rungs of a diagnosis, in at most so many columns.
pub fn told_steps(steps: &[Step], columns: usize, style: Style) -> Vec<String> {
    steps.iter().flat_map(|step| step_lines(step, columns, style)).collect()
}

/// What is well in a line, and each step that is not, or could not be looked at.
pub(super) fn briefly(steps: &[Step], columns: usize, style: Style) -> Vec<String> {
    let is_well = |rung: Rung| steps.iter().filter(|step| step.step == rung).all(|step| step.ok == Some(true));
    let rungs: BTreeSet<Rung> = steps.iter().map(|step| step.step).collect();
    let well: Vec<_> = rungs.into_iter().filter(|rung| is_well(*rung)).map(Rung::name).collect();
    let mut lines = Vec::new();
    if !well.is_empty() {
        let mut mark = style.good("ok");
        for line in wrap(&well.join(", "), columns.saturating_sub(4)) {
            lines.push(format!("{mark}  {line}"));
            mark = "  ".to_owned();
        }
    }
    let others = steps.iter().filter(|step| step.ok != Some(true));
    lines.extend(others.flat_map(|step| step_lines(step, columns, style)));
    lines
}

fn step_lines(step: &Step, columns: usize, style: Style) -> Vec<String> {
    let mark = match step.ok {
        Some(true) => style.good("ok"),
        Some(false) => style.bad("NO"),
        None => style.faint("? "),
    };
    let mut head = format!("{mark}  {:NAME$} ", step.step.name());
    let mut lines = Vec::new();
    for line in wrap(&printable(&step.detail), columns.saturating_sub(NAME + 5)) {
        lines.push(format!("{head}{line}"));
        head = " ".repeat(NAME + 5);
    }
    lines
}
