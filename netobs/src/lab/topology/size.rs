//! Values that a file may write in more than one way.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A number, or a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Either {
    Number(u64),
    Signed(i64),
    Text(String),
}

/// Reads a number of bytes, or one with a unit.
pub(super) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    match Option::<Either>::deserialize(from)? {
        None => Ok(None),
        Some(Either::Number(number)) => Ok(Some(number)),
        Some(Either::Signed(_)) => Err(de::Error::custom("a size is not negative")),
        Some(Either::Text(text)) => parse(&text).map(Some).map_err(de::Error::custom),
    }
}

/// Reads settings whose values are words or numbers; the kernel's files hold text either way.
pub(super) fn words<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let word = |value| match value {
        Either::Number(number) => number.to_string(),
        Either::Signed(number) => number.to_string(),
        Either::Text(text) => text,
    };
    let read = BTreeMap::<String, Either>::deserialize(from)?;
    Ok(read.into_iter().map(|(key, value)| (key, word(value))).collect())
}

/// `50 MiB`, `50M`, `52428800`: as everywhere in the kernel's own interfaces, a K is 1024.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a size like \"128 MiB\"");
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).ok_or_else(bad)?;
    let number: u64 = number.parse().map_err(|_| bad())?;
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        _ => return Err(bad()),
    };
    number.checked_mul(factor).ok_or_else(bad)
}

/// A size in the schema.
pub(super) struct Size;

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes, or one with the unit K, KiB, M, MiB, G or GiB.",
            "type": ["string", "integer"], "format": "size", "examples": ["128 MiB"],
        })
    }
}

/// A setting's value in the schema.
pub(super) struct Word;

impl JsonSchema for Word {
    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "A word or a number.", "type": ["string", "integer"] })
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_sizes_as_the_kernel_does() {
        assert_eq!(parse("128 MiB"), Ok(128 << 20));
        assert_eq!((parse("50M"), parse("1G"), parse("4096")), (Ok(50 << 20), Ok(1 << 30), Ok(4096)));
        for bad in ["", "MiB", "1 MB", "-1", "1.5G", "99999999999G", "é"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
