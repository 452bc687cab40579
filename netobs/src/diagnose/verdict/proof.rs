//! A drop that was seen, as the proof of what a look at the machine had found.

use super::super::{Finding, Force};
use super::shown::Seen;

/// Adds the drop to the findings that lead to such drops. Returns whether there is one.
pub(super) fn prove(findings: &mut [Finding], causes: &[&str], seen: &Seen<'_>) -> bool {
    let leads_to_it = |finding: &Finding| causes.iter().any(|cause| is(cause, finding.cause));
    // Of several the one in the drop's own namespace.
    let is_here = |finding: &Finding| finding.culprit.netns.is_some() && finding.culprit.netns == seen.drop.netns;
    let here = findings.iter().position(|finding| leads_to_it(finding) && is_here(finding));
    let found = here.or_else(|| findings.iter().position(leads_to_it));
    let Some(finding) = found.and_then(|index| findings.get_mut(index)) else { return false };
    let line = seen.line();
    if !finding.evidence.contains(&line) {
        finding.evidence.push(line);
    }
    match seen.force() {
        Force::Harms if finding.force == Force::MayStop => finding.force = Force::Harms,
        Force::Stops if !seen.observation.is_answered() => finding.force = Force::Stops,
        Force::Stops | Force::Harms | Force::MayStop => {}
    }
    true
}

/// The same for what the sender was told: it makes sure what may be the reason, and needs no line of its own.
pub(super) fn confirm(findings: &mut [Finding], causes: &[&str]) {
    let found = findings.iter_mut().find(|finding| causes.iter().any(|cause| is(cause, finding.cause)));
    if let Some(finding) = found.filter(|finding| finding.force == Force::MayStop) {
        finding.force = Force::Stops;
    }
}

/// `*-route` is any cause that ends so, `mtu-*` any that begins so.
fn is(pattern: &str, cause: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => cause.ends_with(end),
        (None, Some(start)) => cause.starts_with(start),
        (None, None) => pattern == cause,
    }
}

#[cfg(test)]
mod tests {
    use super::is;

    #[test]
    fn a_star_stands_for_anything() {
        assert!(is("*-route", "unreachable-route") && is("mtu-*", "mtu-black-hole") && is("tc-drop", "tc-drop"));
        assert!(!is("*-route", "route-missing") && !is("mtu-*", "veth-mtu-mismatch") && !is("tc-drop", "xtc-drop"));
    }
}
