//! Drops because the conntrack table is full.

use serde::Serialize;

use super::Scene;
use super::inside::Inside;

/// How full the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ConntrackTable {
    /// Entries of this namespace.
    pub entries: i64,
    /// `nf_conntrack_max`: how many any one namespace may have.
    pub limit: i64,
}

/// `None` unless the table is full: then the packet died of something else.
pub(super) fn look(inside: &Inside<'_>) -> Option<ConntrackTable> {
    let [entries, limit] = inside.sysctls(["count", "max"].map(|key| format!("netfilter/nf_conntrack_{key}")));
    let table = ConntrackTable { entries: entries?, limit: limit? };
    (table.limit > 0 && table.entries >= table.limit).then_some(table)
}

impl ConntrackTable {
    pub(super) fn facts(&self, scene: &Scene<'_>) -> Vec<String> {
        vec![format!(
            "the conntrack table{} is full: {} of {} entries",
            scene.in_netns(),
            grouped(self.entries),
            grouped(self.limit)
        )]
    }
}

/// `262,144`
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(
            [0, 12, 999, 1000, 262_144, 1_000_000].map(grouped),
            ["0", "12", "999", "1,000", "262,144", "1,000,000"]
        );
    }
}
