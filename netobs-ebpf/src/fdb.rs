//! What a bridge knows of the address that a frame is for.

/// The answer of a bridge's forwarding database (FDB), taken when the frame comes to the bridge, and again when it leaves
/// by one of its ports.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fdb {
    /// The device is no port of a bridge, and none itself.
    NoBridge,
    /// It was not asked, or not to the end: the frame is for a group, the bridge keeps VLANs apart, or the database is too
    /// long.
    NotTold,
    /// There is no entry.
    Missing,
    /// There is an entry, for another port than this one or for the bridge itself.
    Elsewhere,
    /// There is an entry, for this port.
    Here,
}

impl Fdb {
    /// The answer with this number; `None` if there was no bridge to ask.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::NotTold, Self::Missing, Self::Elsewhere, Self::Here].into_iter().find(|fdb| *fdb as u8 == number)
    }
}
