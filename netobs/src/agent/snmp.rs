//! The IP stack's own counters of a namespace: `/proc/net/snmp`, `netstat` and `snmp6`, 64 bits wide.

use std::{fs, io};

/// Those of them that are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snmp {
    /// `TcpRetransSegs`
    pub retransmits: u64,
    /// `TcpExtIPReversePathFilter`
    pub rp_filter: u64,
    /// `IpFragFails` and `Ip6FragFails`
    pub fragmentation_failures: u64,
    /// `Icmp6OutPktTooBigs`
    pub too_big_sent: u64,
}

impl Snmp {
    /// Those of the calling thread's namespace.
    ///
    /// # Errors
    /// A file cannot be read, or lacks what every kernel has.
    pub fn read() -> io::Result<Self> {
        let file = |name: &str| fs::read_to_string(format!("/proc/thread-self/net/{name}"));
        let (snmp, netstat) = (file("snmp")?, file("netstat")?);
        // There is none without IPv6.
        let snmp6 = file("snmp6").unwrap_or_default();
        let missing = || io::Error::new(io::ErrorKind::InvalidData, "/proc/net/snmp lacks a counter");
        Ok(Self {
            retransmits: pair(&snmp, "Tcp:", "RetransSegs").ok_or_else(missing)?,
            rp_filter: pair(&netstat, "TcpExt:", "IPReversePathFilter").ok_or_else(missing)?,
            fragmentation_failures: pair(&snmp, "Ip:", "FragFails").ok_or_else(missing)?
                + line(&snmp6, "Ip6FragFails").unwrap_or(0),
            too_big_sent: line(&snmp6, "Icmp6OutPktTooBigs").unwrap_or(0),
        })
    }
}

/// A value of a file that has a line of names and, below it, one of values, both with the protocol in front.
fn pair(text: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol));
    let (names, values) = (lines.next()?, lines.next()?);
    let (_, value) = names.split_whitespace().zip(values.split_whitespace()).find(|(known, _)| *known == name)?;
    value.parse().ok()
}

/// A value of a file that has a line for each.
fn line(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_them_all() {
        Snmp::read().unwrap();
    }

    #[test]
    fn names_and_values_are_matched() {
        let text = "Ip: Forwarding FragFails\nIp: 1 7\nTcp: RetransSegs\nTcp: 9\n";
        assert_eq!((pair(text, "Ip:", "FragFails"), pair(text, "Tcp:", "RetransSegs")), (Some(7), Some(9)));
        assert_eq!((pair(text, "Ip:", "Other"), pair("Ip: FragFails", "Ip:", "FragFails")), (None, None));
        assert_eq!(line("Ip6FragOKs   \t3\nIp6FragFails  \t4\n", "Ip6FragFails"), Some(4));
    }
}
