//! Whether anything sits in netfilter's hooks of a namespace.

use std::fs;

use crate::netlink::nftables;

/// The tables of iptables-legacy that are in use.
const LEGACY: [&str; 2] = ["/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"];

/// In the calling thread's namespace: tables of nftables (those of iptables-nft are such, too) or of iptables-legacy.
/// Connection tracking is registered only where rules ask for it.
pub(in crate::probe) fn is_anything() -> bool {
    nftables::has_tables().unwrap_or(false)
        || LEGACY.iter().any(|path| fs::read(path).is_ok_and(|names| !names.is_empty()))
}
