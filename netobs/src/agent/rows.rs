//! The rows of drops, as the JSON page has them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::explain;

/// Packets that were dropped for one reason in one function and namespace, since the agent started. The agent's table
/// does not tell devices and protocols apart, so these are null.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DropRecord {
    /// Always `drop`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The running kernel's name, without its prefix.
    pub reason: Option<String>,
    /// The running kernel's number.
    pub reason_number: u32,
    /// The function that dropped them.
    pub function: Option<String>,
    /// The namespace's name, the last it had.
    pub netns: Option<String>,
    /// The namespace's inode.
    pub netns_inode: Option<u32>,
    /// Always null.
    pub device: Option<String>,
    /// Always null.
    pub ifindex: Option<u32>,
    /// Always null.
    pub proto: Option<String>,
    /// Packets.
    pub count: u64,
    /// The cause, in the word that the metric `packet_drops_total` has for it; null where netfilter dropped some by a rule
    /// and connection tracking others.
    pub cause: Option<&'static str>,
    /// `false` for drops that healthy networks have too, `null` where that depends.
    pub fault: Option<bool>,
    /// What happened, in a sentence.
    pub explanation: &'static str,
    /// What usually causes it.
    pub causes: Vec<String>,
    /// What to try: commands with the row's names in them.
    pub look: Vec<String>,
}

/// What rows have in common that are told as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// The kernel's name of the reason.
    pub reason: Option<String>,
    /// The kernel's number of the reason.
    pub reason_number: u32,
    /// Who dropped it.
    pub function: Option<String>,
    /// The namespace's name.
    pub netns: Option<String>,
    /// The namespace's inode number.
    pub netns_inode: Option<u32>,
    /// The cause.
    pub cause: Option<&'static str>,
}

/// Joins what has the same names, the most first.
pub fn records(rows: impl Iterator<Item = (Named, u64)>) -> Vec<DropRecord> {
    let mut joined: BTreeMap<Named, u64> = BTreeMap::new();
    for (named, packets) in rows {
        *joined.entry(named).or_default() += packets;
    }
    let mut records: Vec<_> = joined.into_iter().map(|(named, count)| record(named, count)).collect();
    records.sort_by_key(|record| std::cmp::Reverse(record.count));
    records
}

fn record(named: Named, count: u64) -> DropRecord {
    let explanation = explain::drop(named.reason.as_deref(), named.function.as_deref());
    let place = explain::Place { netns: named.netns.clone(), ..explain::Place::default() };
    let told = |lines: &[&str]| lines.iter().map(|line| explain::advice(line, &place)).collect();
    DropRecord {
        kind: "drop",
        reason: named.reason,
        reason_number: named.reason_number,
        function: named.function,
        netns: named.netns,
        netns_inode: named.netns_inode,
        device: None,
        ifindex: None,
        proto: None,
        count,
        cause: named.cause,
        fault: explanation.kind.is_fault(),
        explanation: explanation.what,
        causes: told(explanation.causes),
        look: told(explanation.look),
    }
}
