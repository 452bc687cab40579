use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The text that was to be a prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address with a prefix length, like 10.40.0.2/24")]
pub struct NotAPrefix(String);

/// An address and the length of the prefix that is on the same link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    /// The address, host bits included.
    pub address: IpAddr,
    /// In bits.
    pub length: u8,
}

impl Prefix {
    /// Whether `other` lies within the prefix.
    pub fn contains(&self, other: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u32| {
            let host_bits = width - u32::from(self.length);
            (a ^ b).checked_shr(host_bits).unwrap_or(0) == 0
        };
        match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl Prefix {
    /// The prefix itself, without an address in it: `10.40.0.0/24` of `10.40.0.2/24`.
    pub fn network(&self) -> Self {
        let address = match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.length)).unwrap_or(0);
                IpAddr::V4((address.to_bits() & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
                IpAddr::V6((address.to_bits() & mask).into())
            }
        };
        Self { address, length: self.length }
    }

    /// Whether there is an address that lies in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

impl FromStr for Prefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let bad = || NotAPrefix(text.to_owned());
        let (address, length) = text.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let length: u8 = length.parse().map_err(|_| bad())?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        if length > widest { Err(bad()) } else { Ok(Self { address, length }) }
    }
}

impl TryFrom<String> for Prefix {
    type Error = NotAPrefix;

    fn try_from(text: String) -> Result<Self, NotAPrefix> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl JsonSchema for Prefix {
    fn schema_name() -> Cow<'static, str> {
        "Prefix".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An IPv4 or IPv6 address and a prefix length.",
            "type": "string", "format": "prefix", "examples": ["10.40.0.2/24", "fd00::2/64"],
        })
    }
}

/// An address in the schema.
pub(super) struct Address;

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An IPv4 or IPv6 address.",
            "type": "string", "format": "address", "examples": ["10.40.0.1", "fd00::1"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Prefix;

    #[test]
    fn knows_what_lies_within() {
        let within = |prefix: &str, address: &str| prefix.parse::<Prefix>().unwrap().contains(address.parse().unwrap());
        assert!(within("10.40.0.1/24", "10.40.0.254"));
        assert!(!within("10.40.0.1/24", "10.40.1.1"));
        assert!(within("0.0.0.0/0", "203.0.113.1"));
        assert!(within("10.40.0.1/32", "10.40.0.1") && !within("10.40.0.1/32", "10.40.0.2"));
        assert!(within("fd00::1/64", "fd00::2") && !within("::/0", "10.40.0.1"));
        assert!(within("::/0", "2001:db8::1"));
        let network = |prefix: &str| prefix.parse::<Prefix>().unwrap().network().to_string();
        assert_eq!(network("10.40.0.2/24"), "10.40.0.0/24");
        assert_eq!((network("10.40.0.2/0").as_str(), network("fd00::2/128").as_str()), ("0.0.0.0/0", "fd00::2/128"));
        for bad in ["10.40.0.1", "10.40.0.1/33", "x/24", "fd00::/129", "10.40.0.1/-1"] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }
}
