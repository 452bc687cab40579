//! The records of `netobs drops`.

use serde::Serialize;

/// One row: drops that have reason, function, namespace, device and protocol in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DropCountRecord {
    /// Always `drop`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The running kernel's name, without its prefix.
    pub reason: Option<String>,
    /// The running kernel's number.
    pub reason_number: u32,
    /// The function that dropped them.
    pub function: Option<String>,
    /// Where the kernel freed them, if that is in no function it names.
    #[serde(skip)]
    pub address: Option<u64>,
    /// The namespace's name, the last it had.
    pub netns: Option<String>,
    /// The namespace's inode number.
    pub netns_inode: Option<u32>,
    /// The device's name.
    pub device: Option<String>,
    /// The device's index in its namespace.
    pub ifindex: Option<u32>,
    /// Protocol by pcap-filter's name.
    pub proto: Option<String>,
    /// Packets since the start.
    pub count: u64,
    /// Packets in this interval.
    pub new: u64,
    /// Packets a second in this interval.
    pub rate: f64,
    /// Length of this interval in seconds.
    pub interval: f64,
    /// `false` for drops that healthy networks have too, `null` where that depends.
    pub fault: Option<bool>,
    /// What happened, in a sentence.
    pub explanation: &'static str,
    /// What usually causes it.
    pub causes: Vec<String>,
    /// What to try: commands with the row's names in them.
    pub look: Vec<String>,
}

/// What was not counted in any row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DropLostRecord {
    /// Drops for which the kernel's table had no row left.
    pub overflow: u64,
    /// Drops that no program was run for.
    pub missed: u64,
}

/// The end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DropSummaryRecord {
    /// Always `summary`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Packets in all rows.
    pub drops: u64,
    /// Those of them that healthy networks drop, too.
    pub harmless: u64,
    /// Rows.
    pub rows: u64,
    /// What is in no row.
    pub lost: DropLostRecord,
    /// How long was counted.
    pub seconds: f64,
}
