//! Numbers as `iptables-save` writes them.

/// Decimal, or hexadecimal after `0x`.
pub(super) fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// `VALUE[/MASK]`
pub(super) fn masked(text: &str) -> Option<(u32, u32)> {
    let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    Some((number(value)?, number(mask)?))
}

/// `N` or `LOW:HIGH`, where either end may be left out.
pub(super) fn span(text: &str) -> Option<(u32, u32)> {
    match text.split_once(':') {
        Some((low, high)) => Some((
            if low.is_empty() { 0 } else { number(low)? },
            if high.is_empty() { u32::MAX } else { number(high)? },
        )),
        None => number(text).map(|only| (only, only)),
    }
}

/// Whether a value lies in a span; not known if either is not.
pub(super) fn in_span(value: Option<u32>, text: &str) -> Option<bool> {
    let (low, high) = span(text)?;
    Some((low..=high).contains(&value?))
}
