//! A value against what stands on the right of a match, or in a set.

use std::net::IpAddr;

use serde_json::Value;

use super::datum::{Datum, Loaded};
use crate::netlink::within;
use crate::rules::table::Table;
use crate::rules::truth::Truth;

/// `left op right`. `None` if the packet has no such thing, so that the rule does not match even with `!=`.
pub(super) fn compare(left: &Loaded, operator: &str, right: &Value, table: &Table) -> Option<Truth> {
    if *left == Loaded::Absent {
        return None;
    }
    Some(match operator {
        "==" => equal(left, right, table),
        "!=" => equal(left, right, table).negated_if(true),
        "in" => bits(left, right),
        "!" => bits(left, right).negated_if(true),
        "<" | ">" | "<=" | ">=" => ordered(left, operator, right),
        _ => Truth::CannotTell,
    })
}

/// Whether it is that value, or one of that range, prefix or set.
pub(super) fn equal(left: &Loaded, right: &Value, table: &Table) -> Truth {
    let element = right.get("elem").and_then(|element| Some((element.get("val")?, element)));
    if let Some((value, element)) = element {
        let truth = equal(left, value, table);
        // An element may carry a limit or a quota of its own.
        let plain = |key: &String| ["val", "timeout", "expires", "comment", "counter"].contains(&key.as_str());
        let all_plain = element.as_object().is_some_and(|element| element.keys().all(plain));
        return if truth == Truth::Yes && !all_plain { Truth::CannotTell } else { truth };
    }
    if let Some(set) = right.get("set").and_then(Value::as_array) {
        return Truth::any(set.iter().map(|element| equal(left, element, table)));
    }
    if let Some(name) = right.as_str().and_then(|text| text.strip_prefix('@')) {
        return match table.sets.get(name) {
            Some(set) if !set.filled_by_rules => {
                Truth::any(set.elements.iter().map(|element| equal(left, element, table)))
            }
            Some(_) | None => Truth::CannotTell,
        };
    }
    match left {
        Loaded::Known(datum) => single(datum, right),
        Loaded::Several(parts) => match right.get("concat").and_then(Value::as_array) {
            Some(others) if others.len() == parts.len() => {
                parts.iter().zip(others).fold(Truth::Yes, |truth, (part, other)| truth.and(equal(part, other, table)))
            }
            _ if right == "*" => Truth::Yes,
            _ => Truth::CannotTell,
        },
        Loaded::Absent => Truth::No,
        Loaded::CannotTell if right == "*" => Truth::Yes,
        Loaded::CannotTell => Truth::CannotTell,
    }
}

fn single(datum: &Datum, right: &Value) -> Truth {
    if right == "*" {
        return Truth::Yes;
    }
    match datum {
        Datum::Address(address) => in_net(*address, right).into(),
        Datum::Name(name) => right.as_str().and_then(|wanted| is_named(name, wanted)).into(),
        Datum::Number(value) => match right.get("range").and_then(Value::as_array).map(Vec::as_slice) {
            Some([low, high]) => number(low).zip(number(high)).map(|(low, high)| (low..=high).contains(value)).into(),
            _ => number(right).map(|wanted| wanted == *value).into(),
        },
        Datum::Bits { value, known } => match number(right) {
            Some(wanted) if (wanted ^ value) & known != 0 => Truth::No,
            Some(wanted) if (wanted | known) == u64::MAX => Truth::Yes,
            // What is wanted of a whole field is not known of the whole field.
            Some(_) | None if *known != u64::MAX => Truth::CannotTell,
            other => other.map(|wanted| wanted == *value).into(),
        },
        Datum::Printed(ways) => number(right).map(|wanted| ways.contains(&wanted)).into(),
        Datum::NoneOf(others) => match number(right) {
            Some(wanted) if others.contains(&wanted) => Truth::No,
            Some(_) | None => Truth::CannotTell,
        },
    }
}

fn in_net(address: IpAddr, right: &Value) -> Option<bool> {
    if let Some(prefix) = right.get("prefix") {
        let length = u8::try_from(prefix.get("len")?.as_u64()?).ok()?;
        return Some(within(address, ip(prefix.get("addr")?)?, length));
    }
    if let Some([low, high]) = right.get("range").and_then(Value::as_array).map(Vec::as_slice) {
        return Some((ip(low)?..=ip(high)?).contains(&address));
    }
    Some(ip(right)? == address)
}

/// A name, or the beginning of one before a `*`.
fn is_named(name: &str, wanted: &str) -> Option<bool> {
    match wanted.strip_suffix('*') {
        // A `*` that is part of the name.
        Some(start) if start.ends_with('\\') => None,
        Some(start) => Some(name.starts_with(start)),
        None => Some(name == wanted),
    }
}

/// Whether one of the bits is set.
fn bits(left: &Loaded, right: &Value) -> Truth {
    let (value, known) = match left {
        Loaded::Known(Datum::Number(value)) => (*value, u64::MAX),
        Loaded::Known(Datum::Bits { value, known }) => (*value, *known),
        _ => return Truth::CannotTell,
    };
    match number(right) {
        Some(wanted) if value & known & wanted != 0 => Truth::Yes,
        Some(wanted) if wanted & !known == 0 => Truth::No,
        Some(_) | None => Truth::CannotTell,
    }
}

fn ordered(left: &Loaded, operator: &str, right: &Value) -> Truth {
    let order = match left {
        Loaded::Known(Datum::Number(value)) => number(right).map(|right| value.cmp(&right)),
        Loaded::Known(Datum::Address(address)) => ip(right).map(|right| address.cmp(&right)),
        _ => None,
    };
    order
        .map(|order| match operator {
            "<" => order.is_lt(),
            ">" => order.is_gt(),
            "<=" => order.is_le(),
            _ => order.is_ge(),
        })
        .into()
}

/// A number, or several that are bits of one.
pub(super) fn number(value: &Value) -> Option<u64> {
    let or = |list: &Vec<Value>| list.iter().try_fold(0, |bits, value| Some(bits | number(value)?));
    match value {
        Value::Number(number) => number.as_u64(),
        Value::Bool(set) => Some(u64::from(*set)),
        Value::Array(list) => or(list),
        Value::Object(object) => object.get("|").and_then(Value::as_array).and_then(or),
        Value::Null | Value::String(_) => None,
    }
}

/// An address.
pub(super) fn ip(value: &Value) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}
