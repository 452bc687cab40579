//! The functions a packet passes, where one line each would drown the rest.

use super::printable;
use super::record::ProbeRecord;
use super::text::wrap;

const ARROW: &str = "→";

/// Names joined by arrows, broken behind an arrow.
pub(super) fn trail(names: &[&str], columns: usize) -> Vec<String> {
    let last = names.len().saturating_sub(1);
    let mut lines: Vec<String> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let word = if index == last { (*name).to_owned() } else { format!("{name} {ARROW}") };
        match lines.last_mut().filter(|line| line.chars().count() + 1 + word.chars().count() <= columns) {
            Some(line) => {
                line.push(' ');
                line.push_str(&word);
            }
            None => lines.push(word),
        }
    }
    lines
}

/// The kind of most of them, how many are attached, how many there are, and why not in a better way. `None` if they
/// were not asked for.
pub(super) fn attached(probes: &[ProbeRecord]) -> Option<(&'static str, usize, usize, Option<&str>)> {
    let functions = || probes.iter().filter(|probe| probe.is_function);
    let first = functions().next()?;
    let attached = functions().filter(|probe| probe.attached).count();
    Some((first.kind, attached, functions().count(), first.fell_back.as_deref()))
}

/// Probes that are not attached, a paragraph for each reason.
pub(super) fn missing<'p>(probes: impl Iterator<Item = &'p ProbeRecord>, columns: usize) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&ProbeRecord>)> = Vec::new();
    let mut all = 0;
    for probe in probes {
        all += usize::from(probe.is_function);
        if probe.attached {
            continue;
        }
        let why = probe.why_not.as_deref().unwrap_or("no reason given");
        match reasons.iter_mut().find(|(other, _)| *other == why) {
            Some((_, missing)) => missing.push(probe),
            None => reasons.push((why, vec![probe])),
        }
    }
    let told = |(why, missing): (&str, Vec<&ProbeRecord>)| {
        let is_all = missing.iter().filter(|probe| probe.is_function).count() == all && all > 0;
        let named = missing.iter().filter(|probe| !is_all || !probe.is_function).map(|probe| probe.name.as_str());
        let names: Vec<&str> = named.chain(is_all.then_some("all functions")).collect();
        wrap(&format!("{}: {}", names.join(", "), printable(why)), columns)
    };
    reasons.into_iter().flat_map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::trail;

    #[test]
    fn names_are_joined_and_broken_behind_an_arrow() {
        assert_eq!(trail(&["ip_rcv", "ip_forward", "ip_output"], 22), ["ip_rcv → ip_forward →", "ip_output"]);
        assert!(trail(&[], 22).is_empty());
    }
}
