use std::fmt;

use serde::{Deserialize, Serialize};

/// A link's number within its network namespace. The same number means another link in another namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ifindex(pub u32);

impl Ifindex {
    /// `lo`: the kernel gives it this number in every namespace (`LOOPBACK_IFINDEX`).
    pub const LOOPBACK: Self = Self(1);
}

impl fmt::Display for Ifindex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
