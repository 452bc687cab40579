//! What the reader of the IP stack's counters shares: one definition of answer and settings for both sides.

use crate::MISSING;

/// CPUs whose counters are added up at most.
pub const MIB_CPUS: u32 = 256;

/// What a namespace's IP stack counted since it was made.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mib {
    /// `TcpRetransSegs`
    pub retransmits: u64,
    /// `TcpExtIPReversePathFilter`
    pub rp_filter: u64,
    /// `IpFragFails`
    pub fragmentation_failures: u64,
    /// `Ip6FragFails`
    pub fragmentation_failures6: u64,
    /// `Icmp6OutPktTooBigs`
    pub too_big_sent: u64,
    /// 1 if all was read.
    pub is_whole: u64,
}

/// What user space tells the program before it is loaded: offsets in bytes, or [`MISSING`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MibSettings {
    /// `task_struct.nsproxy`
    pub task_namespaces: u32,
    /// `nsproxy.net_ns`
    pub net: u32,
    /// `bpf_array.pptrs`
    pub map_values: u32,
    /// CPUs there may be, numbered from 0 without a gap.
    pub cpus: u32,
    /// `net.mib.tcp_statistics`
    pub tcp: u32,
    /// `TCP_MIB_RETRANSSEGS` there.
    pub retransmits: u32,
    /// `net.mib.net_statistics`
    pub linux: u32,
    /// `LINUX_MIB_IPRPFILTER` there.
    pub rp_filter: u32,
    /// `net.mib.ip_statistics`
    pub ip: u32,
    /// `net.mib.ipv6_statistics`
    pub ip6: u32,
    /// `IPSTATS_MIB_FRAGFAILS` in both.
    pub fragmentation_failures: u32,
    /// `net.mib.icmpv6msg_statistics`
    pub icmp6: u32,
    /// Packet too big, sent, there.
    pub too_big_sent: u32,
    /// Keeps the struct free of padding.
    pub reserved: u32,
}

impl MibSettings {
    /// A kernel of which nothing is known.
    pub const NONE: Self = Self {
        task_namespaces: MISSING,
        net: MISSING,
        map_values: MISSING,
        cpus: 0,
        tcp: MISSING,
        retransmits: MISSING,
        linux: MISSING,
        rp_filter: MISSING,
        ip: MISSING,
        ip6: MISSING,
        fragmentation_failures: MISSING,
        icmp6: MISSING,
        too_big_sent: MISSING,
        reserved: 0,
    };
}
