//! The ladder's rungs, a line each.

use crate::diagnose::Step;
use crate::output::text::wrap;
use crate::output::{Style, printable};

/// Columns for a rung's name.
const NAME: usize = 11;

/// The rungs of a diagnosis, in at most so many columns.
pub fn told_steps(steps: &[Step], columns: usize, style: Style) -> Vec<String> {
    steps.iter().flat_map(|step| step_lines(step, columns, style)).collect()
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
