//! Tables that iptables and nft both print.
//!
//! nft cannot look into iptables' own extensions (`xt`); `iptables-save` leaves out or misreads what nft alone can write
//! (1.8.9 prints `ip saddr @set drop` in its table as `-j DROP`). Only iptables makes rules with an `xt` in them, so
//! those are taken from its text and all others from nft.

use serde_json::Value;

use super::Statement;
use crate::rules::rule::Backend;
use crate::rules::table::{Body, Entry, Table};

/// A rule in nft's JSON that `iptables-save` shows as it is: these fields, against one value or prefix, or ports in a
/// range.
const FIELDS: [&str; 15] = [
    "saddr", "daddr", "protocol", "nexthdr", "sport", "dport", "flags", "l4proto", "iifname", "oifname", "mark", "ttl",
    "hoplimit", "type", "frag-off",
];

/// The table with the rules that each tool knows better. `None` if the two do not show the same chains and rules, as
/// when one was changed between.
pub(in crate::rules) fn merge(nft: &Table, mut iptables: Table) -> Option<Table> {
    for (name, chain) in &nft.chains {
        let shown = iptables.chains.get_mut(name).filter(|shown| shown.rules.len() == chain.rules.len())?;
        for (entry, shown) in chain.rules.iter().zip(&mut shown.rules) {
            choose(entry, shown);
        }
    }
    iptables.sets.clone_from(&nft.sets);
    Some(iptables)
}

/// Whether nft's text is needed for any of its rules.
pub(in crate::rules) fn is_shown_by_nft(table: &Table) -> bool {
    let by_nft = |entry: &Entry| entry.backend == Backend::Nft;
    table.backend == Backend::Nft || table.chains.values().any(|chain| chain.rules.iter().any(by_nft))
}

fn choose(nft: &Entry, iptables: &mut Entry) {
    let Body::Nft(statements) = &nft.body else { return };
    // What is no object is text that nft had no JSON for.
    if statements.iter().any(|statement| statement.get("xt").is_some() || !statement.is_object()) {
        return;
    }
    if statements.iter().all(is_plain) {
        iptables.body = nft.body.clone();
    } else {
        *iptables = nft.clone();
    }
}

fn is_plain(statement: &Statement) -> bool {
    let Some(condition) = statement.get("match") else {
        let shown = ["counter", "accept", "drop", "return", "jump", "goto", "limit"];
        return shown.iter().any(|kind| statement.get(kind).is_some());
    };
    let part = |name: &str| condition.get(name).unwrap_or(&Value::Null);
    let (masked, left) = match part("left").pointer("/&/0") {
        Some(inner) => (true, inner),
        None => (false, part("left")),
    };
    let named = |kind: &str, key: &str| left.get(kind).and_then(|left| left.get(key)).and_then(Value::as_str);
    let Some(field) = named("payload", "field").or_else(|| named("meta", "key")) else { return false };
    // iptables always has a mask with flags.
    if !FIELDS.contains(&field) || (field == "flags" && !masked) {
        return false;
    }
    match part("right") {
        Value::String(text) => !text.starts_with('@'),
        Value::Object(right) => {
            right.contains_key("prefix") || (right.contains_key("range") && matches!(field, "sport" | "dport"))
        }
        Value::Number(_) | Value::Array(_) => matches!(part("op").as_str(), Some("==" | "!=" | "<" | ">")),
        Value::Null | Value::Bool(_) => false,
    }
}
