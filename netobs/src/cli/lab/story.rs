//! A scenario told to a learner.

use crate::lab::LabName;
use crate::lab::scenario::{Moment, Phase, Report, Scenario, Shown};
use crate::output::diagnosis::told_steps;
use crate::output::{Style, printable};

/// Columns that a line may take.
const WIDTH: usize = 100;
/// Where the text of a phase begins.
const MARGIN: usize = 11;

/// What a scenario is about.
pub(super) fn heading(scenario: &Scenario, lab: &str, style: Style) -> String {
    let title = style.strong(&format!("{}: {}", scenario.name, printable(&scenario.title)));
    format!("{title}\n  in lab `{lab}` of topology {}\n\n", printable(&scenario.topology))
}

/// One phase: what is told, then what was done and found, with the command that a person would type.
pub(super) fn moment(moment: &Moment, style: Style) -> String {
    let name = phase(moment.phase);
    let mut text = String::new();
    let mut lines = wrap(&printable(&moment.explain), WIDTH - MARGIN);
    if moment.explain.is_empty() {
        lines.clear();
    }
    let mut label = name;
    for line in lines {
        text += &format!("  {:width$}{line}\n", style.strong(&format!("{label:8}")), width = 9);
        label = "";
    }
    for climbed in &moment.steps {
        for line in told_steps(std::slice::from_ref(&climbed.step), WIDTH - MARGIN, style) {
            text += &format!("  {} {line}\n", style.strong(&format!("{label:8}")));
            label = "";
        }
        if let Some(command) = &climbed.command {
            text += &format!("  {:8}    {}\n", "", style.faint(&format!("$ {}", printable(command))));
        }
    }
    for finding in &moment.findings {
        let mark = if finding.ok { style.good("ok") } else { style.bad("NO") };
        let mut mark = format!("{mark} ");
        for line in wrap(&printable(&finding.text), WIDTH - MARGIN - 3) {
            text += &format!("  {} {mark}{line}\n", style.strong(&format!("{label:8}")));
            (label, mark) = ("", "   ".to_owned());
        }
        for command in &finding.commands {
            text += &format!("  {:8}    {}\n", "", style.faint(&format!("$ {}", printable(command))));
        }
    }
    text
}

/// What an agent's metrics would show of it.
pub(super) fn metrics(shown: &Shown, lab: &LabName, style: Style) -> String {
    let mut label = "metrics";
    let mut text = String::new();
    for line in shown.told(lab).iter().flat_map(|told| wrap(&printable(told), WIDTH - MARGIN)) {
        text += &format!("  {} {line}\n", style.strong(&format!("{label:8}")));
        label = "";
    }
    text
}

/// How it went, in a line.
pub(super) fn result(report: &Report, style: Style) -> String {
    let verdict = if report.passed { style.good("as expected") } else { style.bad("NOT AS EXPECTED") };
    format!("{:24} {verdict}, {:.1} s\n", report.name, report.seconds)
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Setup => "setup",
        Phase::Healthy => "healthy",
        Phase::Break => "break",
        Phase::Symptom => "symptom",
        Phase::Signal => "signal",
        Phase::Diagnosis => "diagnose",
        Phase::Fix => "fix",
        Phase::Healed => "healed",
        Phase::Try => "try",
    }
}

fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let fits = |line: &String| line.is_empty() || line.chars().count() + 1 + word.chars().count() <= columns;
        match lines.last_mut().filter(|line| fits(line)) {
            Some(line) => {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}
