//! What the counters of translations share: one definition of keys, values and settings for both sides.

use crate::MISSING;

/// Connections of a namespace whose packets are translated, as one CPU counted them: source, then destination. Under
/// `net.net_cookie` of the namespace.
pub type NatCounts = [u64; 2];

/// Rows the table has room for: namespaces that translate.
pub const NAT_ROWS: u32 = 16_384;

/// What user space tells the programs before they are loaded.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NatSettings {
    /// Offset of `nf_conn.ct_net.net`, or [`MISSING`].
    pub ct_net: u32,
    /// Offset of `net.net_cookie`, or [`MISSING`].
    pub net_cookie: u32,
    /// `IPS_CONFIRMED`: the connection is in the table already.
    pub confirmed: u32,
    /// `IPS_SRC_NAT`: its packets get another source.
    pub source: u32,
    /// `IPS_DST_NAT`: its packets get another destination.
    pub destination: u32,
}

impl NatSettings {
    /// A kernel of which nothing is known.
    pub const NONE: Self = Self { ct_net: MISSING, net_cookie: MISSING, confirmed: 0, source: 0, destination: 0 };
}
