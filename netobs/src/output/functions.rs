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

/// Those that are not attached, a paragraph for each reason.
pub(super) fn missing(probes: &[ProbeRecord], columns: usize) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for probe in probes.iter().filter(|probe| probe.is_function && !probe.attached) {
        let why = probe.why_not.as_deref().unwrap_or("no reason given");
        match reasons.iter_mut().find(|(other, _)| *other == why) {
            Some((_, names)) => names.push(&probe.name),
            None => reasons.push((why, vec![&probe.name])),
        }
    }
    let all = probes.iter().filter(|probe| probe.is_function).count();
    let told = |(why, names): (&str, Vec<&str>)| {
        let names = if names.len() == all { "all functions".to_owned() } else { names.join(", ") };
        wrap(&format!("{names}: {}", printable(why)), columns)
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
