//! The metrics.

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Whatever it is now.
    Gauge,
    /// How many were how large; only grows.
    Histogram,
}

impl Kind {
    /// Prometheus's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What is to be known of a metric.
#[derive(Debug)]
pub struct Row {
    /// Its name, with prefix.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Names of its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// What it counts and where from.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($metric:ident = $name:literal $kind:ident [$($label:literal)*] $help:literal;)*) => {
        /// Every metric there is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Metric {
            $(#[doc = $help] $metric,)*
        }

        impl Metric {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$metric,)*];

            /// What is to be known of it.
            pub fn row(self) -> &'static Row {
                match self {
                    $(Self::$metric => &Row {
                        name: concat!("netobs_", $name),
                        kind: Kind::$kind,
                        labels: &[$($label,)*],
                        help: $help,
                    },)*
                }
            }
        }
    };
}

metrics! {
    BuildInfo = "build_info" Gauge ["version" "revision" "kernel"]
        "Always 1: version and source revision of this netobs, and the release of the kernel it runs on.";
    NetnsInfo = "netns_info" Gauge ["netns" "inode" "runtime" "container" "pod" "namespace"]
        "Always 1 for each network namespace there is: its inode, and the container and pod it belongs to. \
         From /run/netns, /proc/PID/cgroup and the container engine.";
    PacketDrops = "packet_drops_total" Counter ["netns" "reason" "cause"]
        "Packets the kernel dropped since the agent started, by its own name for the reason and one word for the cause. \
         Counted in the kernel at the tracepoint skb:kfree_skb; cause harmless is what nobody missed.";
    MtuDrops = "mtu_drops_total" Counter ["netns"]
        "Packets dropped since the agent started because they were too big for where they should go. \
         Those of packet_drops_total with cause mtu.";
    FragNeededSent = "icmp_frag_needed_sent_total" Counter ["netns"]
        "ICMP errors sent that a packet was too big: IPv4 fragmentation needed since the agent started, counted at the \
         tracepoint icmp:icmp_send or, where the kernel has none, about to be sent at the entry of __icmp_send, and IPv6 \
         Icmp6OutPktTooBigs since the namespace was made. Without IPv4's while probe_attached of icmp_send_count* is 0.";
    HopPackets = "hop_packets_total" Counter ["netns" "device" "hook"]
        "Packets that passed the hook on the device since the agent started, as the stack hands them on: a large one that \
         is cut up later is one. Counted in the kernel at the tracepoint of the hook's name.";
    HopBytes = "hop_bytes_total" Counter ["netns" "device" "hook"]
        "Bytes of the packets of hop_packets_total, link-layer header included.";
    HopLatency = "hop_latency_seconds" Histogram ["from_hook" "to_hook"]
        "Time from one hook of a device to the next one of the same packet, on the whole machine, since the agent started: \
         sampled, about one packet in 64. A step of more than 4 s is not told from a new packet, nor one into a device \
         on top of another by a packet this machine sends itself. Timed in the kernel at the tracepoints of the hooks' names.";
    NatTranslations = "nat_translations_total" Counter ["netns" "kind"]
        "Connections whose packets were translated since the agent started, each once as it was entered into the conntrack \
         table: kind snat got another source (masquerade too), dnat another destination. Counted in the kernel in \
         __nf_conntrack_confirm, or right before it in namespaces that have nft or iptables rules.";
    ConntrackEntries = "conntrack_entries" Gauge ["netns"]
        "Entries in the connection tracking table now, as conntrack -C shows. From ctnetlink.";
    ConntrackEntriesLimit = "conntrack_entries_limit" Gauge ["netns"]
        "Entries the table may have: net.netfilter.nf_conntrack_max, 0 for no limit. From ctnetlink.";
    ConntrackDrops = "conntrack_drops_total" Counter ["netns"]
        "Packets dropped because there was no room for their entry or it could not be entered: drop of conntrack -S. \
         From ctnetlink, every CPU's 32-bit counter unwrapped.";
    ConntrackEarlyDrops = "conntrack_early_drops_total" Counter ["netns"]
        "Entries removed before their time to make room: early_drop of conntrack -S. \
         From ctnetlink, every CPU's 32-bit counter unwrapped.";
    ConntrackInsertFailed = "conntrack_insert_failed_total" Counter ["netns"]
        "Entries that could not be entered because another had the same tuple: insert_failed of conntrack -S. \
         From ctnetlink, every CPU's 32-bit counter unwrapped.";
    ConntrackInvalid = "conntrack_invalid_total" Counter ["netns"]
        "Packets that belong to no connection and can begin none: invalid of conntrack -S. \
         From ctnetlink, every CPU's 32-bit counter unwrapped.";
    ConntrackClashResolved = "conntrack_clash_resolved_total" Counter ["netns"]
        "Clashes of two packets of one new connection that were settled without loss: clash_resolve of conntrack -S. \
         From ctnetlink, every CPU's 32-bit counter unwrapped.";
    RpFilterDrops = "rp_filter_drops_total" Counter ["netns"]
        "IPv4 packets dropped by the reverse path filter since the namespace was made: TcpExtIPReversePathFilter. \
         From /proc/net/netstat of the namespace.";
    FragmentationFailures = "ip_fragmentation_failures_total" Counter ["netns"]
        "Packets that had to be fragmented and could or must not be, IPv4 and IPv6: IpFragFails and Ip6FragFails. \
         From /proc/net/snmp and snmp6 of the namespace.";
    TcpRetransmits = "tcp_retransmits_total" Counter ["netns"]
        "TCP segments sent again since the namespace was made: TcpRetransSegs. From /proc/net/snmp of the namespace.";
    InterfaceMtu = "interface_mtu_bytes" Gauge ["netns" "device"]
        "Largest packet the device sends. From rtnetlink, IFLA_MTU.";
    InterfaceReceivePackets = "interface_receive_packets_total" Counter ["netns" "device"]
        "Packets the device received, as ip -s link shows. From rtnetlink, IFLA_STATS64.";
    InterfaceReceiveBytes = "interface_receive_bytes_total" Counter ["netns" "device"]
        "Bytes the device received, as ip -s link shows. From rtnetlink, IFLA_STATS64.";
    InterfaceReceiveDrops = "interface_receive_drops_total" Counter ["netns" "device"]
        "Received packets that the device or the stack above it dropped, as ip -s link shows. \
         From rtnetlink, IFLA_STATS64.";
    InterfaceTransmitPackets = "interface_transmit_packets_total" Counter ["netns" "device"]
        "Packets the device sent, as ip -s link shows. From rtnetlink, IFLA_STATS64.";
    InterfaceTransmitBytes = "interface_transmit_bytes_total" Counter ["netns" "device"]
        "Bytes the device sent, as ip -s link shows. From rtnetlink, IFLA_STATS64.";
    InterfaceTransmitDrops = "interface_transmit_drops_total" Counter ["netns" "device"]
        "Packets dropped on their way out of the device, as ip -s link shows. From rtnetlink, IFLA_STATS64.";
    Events = "events_total" Counter ["stage"]
        "What the agent's own programs counted since it started, by stage: drops are packets the kernel dropped, hops are \
         packets at the hooks of devices, nat are connections that were translated. From the programs' maps.";
    EventsLost = "events_lost_total" Counter ["stage"]
        "What they did not count, by stage: drops-overflow, hops-overflow and nat-overflow had no row left in the kernel's table, \
         drops-missed and hops-missed came while the programs were at work on that CPU. From the programs' maps and bpf_prog_info.";
    ProbeAttached = "probe_attached" Gauge ["probe" "kind"]
        "1 if the agent's program is attached, 0 if not; by program and kind of attachment.";
    ProgramRunSeconds = "bpf_program_run_seconds_total" Counter ["program"]
        "Time the agent's program ran, over all CPUs, while the kernel measured it: with --program-stats true, or \
         kernel.bpf_stats_enabled. From bpf_prog_info, run_time_ns.";
    ProgramRuns = "bpf_program_runs_total" Counter ["program"]
        "Times the agent's program ran, over all CPUs, while the kernel measured it: see bpf_program_run_seconds_total. \
         From bpf_prog_info, run_cnt.";
    CollectorSuccess = "collector_success" Gauge ["collector"]
        "1 if this part of the last collection read everything it had to, 0 if something could not be read. \
         A namespace that ended meanwhile is no failure.";
    CollectorDuration = "collector_duration_seconds" Gauge ["collector"]
        "Time this part of the last collection took, summed over all namespaces.";
    SeriesLimit = "series_limit" Gauge []
        "Series the agent serves at most: --series-limit.";
    SeriesLeftOut = "series_left_out" Gauge []
        "Series that found no room under the limit in the last collection: if this is not 0, something is missing here.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_follow_the_rules_of_prometheus() {
        let mut names = HashSet::new();
        for metric in Metric::ALL {
            let row = metric.row();
            let is_word = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            assert!(names.insert(row.name), "{} is there twice", row.name);
            assert!(is_word(row.name) && row.labels.iter().copied().all(is_word), "{row:?}");
            assert_eq!(row.name.ends_with("_total"), row.kind == Kind::Counter, "{row:?}");
            assert!(row.help.ends_with('.') && !row.help.contains("  "), "{row:?}");
        }
    }
}
