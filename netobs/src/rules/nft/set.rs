//! Named sets and maps.

use serde_json::Value;

/// A named set or map.
#[derive(Clone, Debug, Default)]
pub(in crate::rules) struct Set {
    pub(super) elements: Vec<Value>,
    /// Rules add elements as packets pass; what it held when the packet passed cannot be told.
    pub(super) filled_by_rules: bool,
}

/// The set that a statement fills: `{"set": {"op": "add", "set": "@name", …}}`. nft 1.0.6 does not print a set's flag
/// `dynamic`, so that it is filled can only be seen where it is done.
pub(super) fn filled(statement: &Value) -> Option<&str> {
    let name = |kind: &str| statement.get(kind)?.get(kind)?.as_str()?.strip_prefix('@');
    name("set").or_else(|| name("map"))
}

/// Flags are a list, or a single one by itself.
pub(super) fn has_flag(flags: &Value, name: &str) -> bool {
    match flags {
        Value::Array(list) => list.iter().any(|flag| flag == name),
        single => single == name,
    }
}
