use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Error;

/// A lab's name. It becomes part of namespace names, file names and cgroup names, so it is short and plain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabName(String);

impl LabName {
    /// The lab that is meant when no other is named.
    pub const DEFAULT: &'static str = "lab";
    const LONGEST: usize = 32;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a node's namespace under `/run/netns`.
    pub fn namespace(&self, node: &str) -> String {
        format!("{}-{node}", self.0)
    }
}

impl Default for LabName {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl FromStr for LabName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if plain && !text.is_empty() && !text.starts_with('-') && text.len() <= Self::LONGEST {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::BadName { name: text.to_owned(), longest: Self::LONGEST })
        }
    }
}

impl TryFrom<String> for LabName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<LabName> for String {
    fn from(name: LabName) -> Self {
        name.0
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::LabName;

    #[test]
    fn takes_plain_short_names_only() {
        for good in ["lab", "a", "x-1", "0"] {
            assert!(good.parse::<LabName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a b", "../etc", "a/b", "a.b", "é", &"a".repeat(33)] {
            assert!(bad.parse::<LabName>().is_err(), "{bad}");
        }
    }
}
