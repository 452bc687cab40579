//! Values that an nft expression has for the packet.

use std::net::IpAddr;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Datum {
    Address(IpAddr),
    Number(u64),
    /// A device's name; empty where there is no device.
    Name(String),
    /// Of the bits in `known` the values are known, of others not.
    Bits {
        value: u64,
        known: u64,
    },
    /// A number that is printed as any of these.
    Printed(&'static [u64]),
    /// A number that is none of these.
    NoneOf(&'static [u64]),
}

/// What an expression gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Loaded {
    Known(Datum),
    /// A concatenation.
    Several(Vec<Loaded>),
    /// The packet has no such thing: the rule does not match, whatever it compares with (`NFT_BREAK`).
    Absent,
    CannotTell,
}

impl Loaded {
    pub(super) fn number(value: Option<impl Into<u64>>) -> Self {
        value.map_or(Self::CannotTell, |value| Self::Known(Datum::Number(value.into())))
    }

    pub(super) fn address(value: Option<IpAddr>) -> Self {
        value.map_or(Self::CannotTell, |value| Self::Known(Datum::Address(value)))
    }

    pub(super) fn name(value: Option<&str>) -> Self {
        value.map_or(Self::CannotTell, |value| Self::Known(Datum::Name(value.to_owned())))
    }
}
