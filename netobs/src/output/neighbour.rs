//! Whom a packet waited for.

use serde::Serialize;

use super::printable;

/// A neighbour whose link-layer address was not known when a packet was to be sent to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NeighbourRecord {
    /// Its address: the packet's destination, or the gateway on the way to it.
    pub address: Option<String>,
    /// The device that it was asked for on.
    pub device: Option<String>,
    /// The device's index in its namespace.
    pub ifindex: Option<u32>,
    /// The namespace's name.
    pub netns: Option<String>,
    /// The namespace's inode number.
    pub netns_inode: Option<u32>,
    /// What had become of the asking when the packet's wait was over: `answered`, `failed` (nobody answered), `removed`
    /// (the entry was, with its device for instance), or `pending`: the packet waits still, or had to make room for
    /// others.
    pub outcome: &'static str,
    /// How long the packet waited, in nanoseconds; `null` if when it began was not seen, or if it waits still.
    pub waited_ns: Option<u64>,
    /// The link-layer address that was found.
    pub mac: Option<String>,
    /// How often the neighbour had been asked.
    pub probes: Option<u32>,
    /// Index of the first hop after the wait.
    pub before_hop: usize,
}

impl NeighbourRecord {
    /// `neighbour: 10.40.0.3 on eth0 is at 02:00:00:00:00:03, waited 37.2 µs`
    pub(super) fn line(&self) -> String {
        let address = self.address.as_deref().unwrap_or("?");
        let device = self.device.as_deref().map(|device| format!(" on {}", printable(device))).unwrap_or_default();
        let times = match self.probes {
            None => String::new(),
            Some(1) => ", asked once".to_owned(),
            Some(probes) => format!(", asked {probes} times"),
        };
        let what = match (self.outcome, &self.mac) {
            ("answered", Some(mac)) => format!("is at {mac}"),
            ("answered", None) => "answered".to_owned(),
            ("failed", _) => format!("did not answer{times}"),
            ("removed", _) => format!("was removed{times}"),
            _ => format!("has not answered{times}"),
        };
        let waited = self.waited_ns.map(|waited| format!(", waited {}", duration(waited))).unwrap_or_default();
        format!("neighbour: {address}{device} {what}{waited}")
    }

    /// Whether the packet may lie in the neighbour's queue still.
    pub(super) fn is_pending(&self) -> bool {
        self.outcome == "pending"
    }

    /// Whether the packet came no further.
    pub(super) fn is_fault(&self) -> bool {
        self.outcome != "answered"
    }
}

/// `37.2 µs`, `1.2 ms`, `3.1 s`
fn duration(nanoseconds: u64) -> String {
    let (unit, name) = match nanoseconds {
        0..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    format!("{}.{} {name}", nanoseconds / unit, nanoseconds % unit * 10 / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(outcome: &'static str, waited_ns: Option<u64>, mac: Option<&str>, probes: Option<u32>) -> String {
        let record = NeighbourRecord {
            address: Some("10.40.0.3".into()),
            device: Some("eth0".into()),
            ifindex: Some(2),
            netns: Some("lab-c1".into()),
            netns_inode: Some(4_026_532_001),
            outcome,
            waited_ns,
            mac: mac.map(str::to_owned),
            probes,
            before_hop: 0,
        };
        record.line()
    }

    #[test]
    fn a_wait_in_a_line() {
        let mac = Some("02:00:00:00:00:03");
        let answered = line("answered", Some(37_250), mac, Some(1));
        assert_eq!(answered, "neighbour: 10.40.0.3 on eth0 is at 02:00:00:00:00:03, waited 37.2 µs");
        assert_eq!(line("answered", None, None, None), "neighbour: 10.40.0.3 on eth0 answered");
        let failed = line("failed", Some(3_061_000_000), None, Some(3));
        assert_eq!(failed, "neighbour: 10.40.0.3 on eth0 did not answer, asked 3 times, waited 3.0 s");
        assert_eq!(line("pending", None, None, Some(1)), "neighbour: 10.40.0.3 on eth0 has not answered, asked once");
        let removed = line("removed", Some(1_200_000), None, None);
        assert_eq!(removed, "neighbour: 10.40.0.3 on eth0 was removed, waited 1.2 ms");
    }
}
