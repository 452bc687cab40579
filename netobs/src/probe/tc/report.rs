//! What became of the classifiers, over all devices.

use crate::netlink::Link;
use crate::netlink::tc::Direction;
use crate::probe::hooks::{HookRow, Kind};
use crate::probe::session::ProbeStatus;

/// More failures than this are counted, not listed.
const LISTED: usize = 3;

/// One direction served in one way.
#[derive(Debug, Default)]
struct Line {
    attached: usize,
    failures: Vec<String>,
}

/// Collects successes and failures.
#[derive(Debug, Default)]
pub(super) struct Report {
    lines: Vec<((Direction, Kind), Line)>,
}

impl Report {
    pub(super) fn attached(&mut self, direction: Direction, kind: Kind) {
        self.line(direction, kind).attached += 1;
    }

    pub(super) fn failed(&mut self, direction: Direction, kind: Kind, why: String) {
        self.line(direction, kind).failures.push(why);
    }

    /// One status for what is attached and one for what is not.
    pub(super) fn statuses(mut self) -> Vec<ProbeStatus> {
        self.lines.sort_by_key(|((direction, _), _)| *direction == Direction::Egress);
        let mut statuses = Vec::new();
        for ((direction, kind), line) in self.lines {
            let Some(row) = HookRow::of(direction.hook(), 0) else { continue };
            if line.attached > 0 {
                statuses.push(ProbeStatus { row, kind, why_not: None, fell_back: None });
            }
            if !line.failures.is_empty() {
                statuses.push(ProbeStatus { row, kind, why_not: Some(list(&line.failures)), fell_back: None });
            }
        }
        statuses
    }

    fn line(&mut self, direction: Direction, kind: Kind) -> &mut Line {
        let index = self.lines.iter().position(|(key, _)| *key == (direction, kind)).unwrap_or(self.lines.len());
        if index == self.lines.len() {
            self.lines.push(((direction, kind), Line::default()));
        }
        // The index was just found or made.
        let last = self.lines.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "in range by the line above")]
        &mut self.lines[index.min(last)].1
    }
}

/// The device a failure is about, as people name it.
pub(super) fn place(netns: &str, link: &Link) -> String {
    format!("{} in {netns}", link.name)
}

fn list(failures: &[String]) -> String {
    let mut text = failures.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join("; ");
    if failures.len() > LISTED {
        text.push_str(&format!("; and {} more", failures.len() - LISTED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_device_that_fails_does_not_hide_the_others() {
        let mut report = Report::default();
        report.failed(Direction::Egress, Kind::Tcx, "a in host: gone wrong".into());
        report.attached(Direction::Egress, Kind::Tcx);
        report.attached(Direction::Ingress, Kind::Tcx);
        report.attached(Direction::Ingress, Kind::Tcx);
        let statuses: Vec<_> =
            report.statuses().into_iter().map(|status| (status.row.name, status.kind, status.why_not)).collect();
        let failed = Some("a in host: gone wrong".to_owned());
        assert_eq!(
            statuses,
            [("tc_ingress", Kind::Tcx, None), ("tc_egress", Kind::Tcx, None), ("tc_egress", Kind::Tcx, failed)]
        );
    }

    #[test]
    fn hundreds_of_failures_fit_on_a_line() {
        let failures: Vec<String> = (0..300).map(|number| format!("d{number}")).collect();
        assert_eq!(list(&failures), "d0; d1; d2; and 297 more");
    }
}
