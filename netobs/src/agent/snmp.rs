//! The IP stack's own counters of a namespace, 64 bits wide: those of `/proc/net/snmp`, `netstat` and `snmp6`, read by a
//! program where the kernel runs it.

use std::{fs, io};

use netobs_ebpf::Mib;

use crate::probe::mib::MibReader;

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

/// Reads them in the quickest way that this kernel allows.
#[derive(Default)]
pub struct Reader {
    program: Option<MibReader>,
}

impl Reader {
    /// Loads the program that reads them, and compares what it reads with the text. Without it the text is read.
    pub fn new() -> Self {
        let program = MibReader::load().ok().filter(|program| {
            let read = || program.read().ok().flatten().map(Snmp::of);
            // They grow meanwhile.
            let (before, read, after) = (Snmp::read(), read(), Snmp::read());
            let numbers =
                |snmp: &Snmp| [snmp.retransmits, snmp.rp_filter, snmp.fragmentation_failures, snmp.too_big_sent];
            match (before, read, after) {
                (Ok(before), Some(read), Ok(after)) => numbers(&read)
                    .into_iter()
                    .zip(numbers(&before).into_iter().zip(numbers(&after)))
                    .all(|(read, (before, after))| (before..=after).contains(&read)),
                _ => false,
            }
        });
        Self { program }
    }

    /// Those of the calling thread's namespace.
    ///
    /// # Errors
    /// As for [`Snmp::read`].
    pub fn read(&self) -> io::Result<Snmp> {
        match self.program.as_ref().and_then(|program| program.read().ok().flatten()) {
            Some(mib) => Ok(Snmp::of(mib)),
            None => Snmp::read(),
        }
    }
}

impl Snmp {
    fn of(mib: Mib) -> Self {
        Self {
            retransmits: mib.retransmits,
            rp_filter: mib.rp_filter,
            fragmentation_failures: mib.fragmentation_failures + mib.fragmentation_failures6,
            too_big_sent: mib.too_big_sent,
        }
    }

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
    use std::io::Write;

    use super::*;
    use crate::netns::{fresh_netns, in_netns};

    #[test]
    fn this_kernel_has_them_all() {
        Snmp::read().unwrap();
    }

    #[test]
    fn the_program_reads_what_the_text_says() {
        let reader = Reader::new();
        if reader.program.is_none() {
            // On the real standard error, which the harness does not capture.
            let _ = writeln!(io::stderr(), "SKIPPED the_program_reads_what_the_text_says: not root, or before 5.19");
            return;
        }
        // A namespace where nothing happens, and then one thing: a packet that comes back to who it says it is from.
        let read = || (reader.read().unwrap(), Snmp::read().unwrap());
        let netns = fresh_netns().unwrap();
        let (by_program, by_text) = in_netns(&netns, read).unwrap();
        assert_eq!((by_program, by_text), (Snmp::default(), Snmp::default()));
        let (by_program, by_text) = read();
        assert!(by_program.retransmits <= by_text.retransmits && by_program.rp_filter <= by_text.rp_filter);
    }

    #[test]
    fn names_and_values_are_matched() {
        let text = "Ip: Forwarding FragFails\nIp: 1 7\nTcp: RetransSegs\nTcp: 9\n";
        assert_eq!((pair(text, "Ip:", "FragFails"), pair(text, "Tcp:", "RetransSegs")), (Some(7), Some(9)));
        assert_eq!((pair(text, "Ip:", "Other"), pair("Ip: FragFails", "Ip:", "FragFails")), (None, None));
        assert_eq!(line("Ip6FragOKs   \t3\nIp6FragFails  \t4\n", "Ip6FragFails"), Some(4));
    }
}
