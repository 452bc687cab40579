//! What the drop counters need to know of the kernel.

use netobs_ebpf::MISSING;

use crate::btf::Btf;

/// Fields that only the drop counters read, and facts about this kernel.
#[derive(Clone, Copy, Debug)]
pub struct DropLayout {
    /// Offset of `net.net_cookie`, or [`MISSING`].
    pub(in crate::probe) net_cookie: u32,
    /// Whether the tracepoint names the receiving socket (6.11 and later).
    pub(super) has_receiver: bool,
}

impl DropLayout {
    pub(in crate::probe) fn read(btf: &Btf) -> Self {
        let offset = |path| btf.field(path).map_or(MISSING, |field| field.offset);
        Self {
            net_cookie: offset("net.net_cookie"),
            has_receiver: btf.tracepoint("kfree_skb").is_some_and(|prototype| prototype.params.len() > 3),
        }
    }
}
