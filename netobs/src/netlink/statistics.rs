use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;

use super::message::{attribute, word};
use super::{Ifindex, Result, Socket};

// <linux/if_link.h>
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_STATS64: u16 = 23;
/// `struct ifinfomsg`, and where its `ifi_index` is.
const IFINFOMSG: usize = 16;
const IFI_INDEX: usize = 4;

/// What a link counts, as `ip -s link` shows it: `struct rtnl_link_stats64`, since the link was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatistics {
    /// Its number in its namespace.
    pub ifindex: Ifindex,
    /// Its name in its namespace.
    pub name: String,
    /// The largest packet it sends, in bytes.
    pub mtu: u32,
    /// What came in.
    pub received: Traffic,
    /// What went out.
    pub sent: Traffic,
}

/// One direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Packets that passed.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that did not.
    pub drops: u64,
}

impl Socket {
    /// The statistics of every link.
    pub fn statistics(&mut self) -> Result<Vec<LinkStatistics>> {
        let question = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let links = self.dump_raw("read the statistics of links", &question)?;
        Ok(links.iter().filter_map(|link| LinkStatistics::of(link)).collect())
    }
}

impl LinkStatistics {
    /// `None` of a link that has none.
    fn of(link: &[u8]) -> Option<Self> {
        let attributes = link.get(IFINFOMSG..)?;
        let statistics = attribute(attributes, IFLA_STATS64)?;
        // In this order: packets received and sent, bytes, errors, drops.
        let number = |place: usize| Some(u64::from_ne_bytes(*statistics.get(place * 8..)?.first_chunk()?));
        let traffic =
            |first| Some(Traffic { packets: number(first)?, bytes: number(first + 2)?, drops: number(first + 6)? });
        let name = attribute(attributes, IFLA_IFNAME)?;
        Some(Self {
            ifindex: Ifindex(word(link, IFI_INDEX)?),
            name: String::from_utf8_lossy(name).trim_end_matches('\0').to_owned(),
            mtu: attribute(attributes, IFLA_MTU).and_then(|mtu| word(mtu, 0))?,
            received: traffic(0)?,
            sent: traffic(1)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_counts() {
        let links = Socket::open().unwrap().statistics().unwrap();
        let file = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        let lo = links.iter().find(|link| link.name == "lo").unwrap();
        assert!(file.contains("lo:") && lo.mtu > 0, "{links:?}");
        assert_eq!(lo.received, lo.sent, "what goes out of the loopback comes in by it");
    }

    #[test]
    fn a_message_that_is_cut_short_is_no_link() {
        assert_eq!(LinkStatistics::of(&[]), None);
        assert_eq!(LinkStatistics::of(&[0; 40]), None);
    }
}
