//! Yes, no, or cannot tell.

/// What is known of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    CannotTell,
}

impl Truth {
    /// Turned round, where a rule has `!`.
    pub(super) fn negated_if(self, negated: bool) -> Self {
        match (self, negated) {
            (Self::Yes, true) => Self::No,
            (Self::No, true) => Self::Yes,
            (same, _) => same,
        }
    }

    /// Both hold.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            (Self::CannotTell, _) | (_, Self::CannotTell) => Self::CannotTell,
        }
    }

    /// At least one holds.
    pub(super) fn any(all: impl IntoIterator<Item = Self>) -> Self {
        let mut result = Self::No;
        for one in all {
            match one {
                Self::Yes => return Self::Yes,
                Self::CannotTell => result = Self::CannotTell,
                Self::No => {}
            }
        }
        result
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl From<Option<bool>> for Truth {
    fn from(known: Option<bool>) -> Self {
        known.map_or(Self::CannotTell, Self::from)
    }
}
