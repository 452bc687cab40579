//! What a NAT statement rewrites to.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::compare::{ip, number};
use crate::rules::judge::Translation;
use crate::rules::rule::Deed;

/// Reads `{"addr": …, "port": …}`; what a map or a number generator chooses may be anything.
pub(super) fn translation(deed: Deed, body: &Value) -> Translation {
    let port = |value: &Value| number(value).and_then(|port| u16::try_from(port).ok());
    let addresses = body.get("addr").map(|value| span(value, ip));
    let ports = body.get("port").map(|value| span(value, port));
    let whole = addresses != Some(None) && ports != Some(None);
    Translation { deed, addresses: addresses.flatten(), ports: ports.flatten(), whole }
}

fn span<T: Copy>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<RangeInclusive<T>> {
    match value.get("range").and_then(Value::as_array).map(Vec::as_slice) {
        Some([low, high]) => Some(read(low)?..=read(high)?),
        _ => read(value).map(|only| only..=only),
    }
}
