use std::path::Path;

/// What there is of connection tracking outside the kernel, built in or a module: its parameters, its sysctls, its
/// statistics. A sandbox may hide one or the other.
const SIGNS: [&str; 3] =
    ["/sys/module/nf_conntrack", "/proc/sys/net/netfilter/nf_conntrack_max", "/proc/thread-self/net/stat/nf_conntrack"];

/// Whether this kernel has connection tracking at the moment. Ask before opening a [`Socket`](super::Socket): the kernel
/// would load the module just to answer.
pub fn is_loaded() -> bool {
    SIGNS.iter().any(|sign| Path::new(sign).exists())
}
