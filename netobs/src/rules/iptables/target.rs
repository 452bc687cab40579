//! What iptables targets do.

use std::ops::RangeInclusive;
use std::str::FromStr;

use super::number::{masked, number};
use super::specification::Target;
use crate::rules::judge::{Change, Situation, Translation, Verdict};
use crate::rules::rule::Deed;

/// Targets after which the next rule comes, and which change nothing that a rule can ask for here.
const PASSING: &[&str] = &[
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CONNSECMARK",
    "IDLETIMER",
    "LED",
    "LOG",
    "NFLOG",
    "RATEEST",
    "SECMARK",
    "SET",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TRACE",
    "ULOG",
];

/// Where a rule that matches leads, and what it changes.
pub(super) fn verdict(target: &Target, situation: &Situation<'_>) -> (Verdict, Vec<Change>) {
    if situation.table.chains.contains_key(&target.name) {
        let name = target.name.clone();
        return (if target.goto { Verdict::Goto(name) } else { Verdict::Jump(name) }, Vec::new());
    }
    let verdict = match target.name.as_str() {
        "" => Verdict::Continue,
        "ACCEPT" => Verdict::Accept,
        "DROP" => Verdict::End(Deed::Drop),
        "REJECT" => Verdict::End(Deed::Reject),
        "QUEUE" | "NFQUEUE" => Verdict::End(Deed::Queue),
        "RETURN" => Verdict::Return,
        "DNAT" => Verdict::Translate(translation(target, Deed::Dnat, "--to-destination")),
        "SNAT" => Verdict::Translate(translation(target, Deed::Snat, "--to-source")),
        "REDIRECT" => Verdict::Translate(translation(target, Deed::Redirect, "--to-ports")),
        "MASQUERADE" => Verdict::Translate(translation(target, Deed::Masquerade, "--to-ports")),
        "MARK" => return (Verdict::Continue, vec![Change::Mark(set(target, situation.packet.mark))]),
        "CONNMARK" => return (Verdict::Continue, vec![connmark(target, situation)]),
        // They rewrite a field of the IP header that no rule here is judged by.
        "DSCP" | "ECN" | "HL" | "TOS" | "TTL" => Verdict::Continue,
        "NOTRACK" => return (Verdict::Continue, vec![Change::Untracked]),
        "CT" if target.options.iter().any(|option| option.name == "--notrack") => {
            return (Verdict::Continue, vec![Change::Untracked]);
        }
        // The rest decides what conntrack will do with the flow.
        "CT" => Verdict::Continue,
        passing if PASSING.contains(&passing) => Verdict::Continue,
        _ => Verdict::Anything,
    };
    (verdict, Vec::new())
}

/// `--set-xmark VALUE/MASK`, which is how `iptables-save` writes all ways to set a mark.
fn set(target: &Target, old: Option<u32>) -> Option<u32> {
    let option = target.options.iter().find(|option| option.name == "--set-xmark")?;
    let (value, mask) = masked(option.value())?;
    // With every bit replaced the old mark does not matter.
    let kept = if mask == u32::MAX { 0 } else { old? & !mask };
    Some(kept ^ value)
}

fn connmark(target: &Target, situation: &Situation<'_>) -> Change {
    let (mark, ct_mark) = (situation.packet.mark, situation.ct_mark);
    let has = |name| target.options.iter().any(|option| option.name == name);
    let mask = |name| {
        let option = target.options.iter().find(|option| option.name == name);
        option.map_or(Some(u32::MAX), |option| number(option.value()))
    };
    let (nf, ct) = (mask("--nfmask"), mask("--ctmask"));
    if has("--save-mark") {
        Change::CtMark(mixed(ct_mark, ct, mark, nf))
    } else if has("--restore-mark") {
        Change::Mark(mixed(mark, nf, ct_mark, ct))
    } else {
        Change::CtMark(set(target, ct_mark))
    }
}

fn mixed(old: Option<u32>, old_mask: Option<u32>, new: Option<u32>, new_mask: Option<u32>) -> Option<u32> {
    let mask = old_mask?;
    let kept = if mask == u32::MAX { 0 } else { old? & !mask };
    Some(kept ^ (new? & new_mask?))
}

fn translation(target: &Target, deed: Deed, option: &str) -> Translation {
    let given: Vec<_> = target.options.iter().filter(|given| given.name == option).collect();
    let text = match given.as_slice() {
        // `-j MASQUERADE` alone.
        [] => "",
        [only] => only.value(),
        // Several were allowed once; which is taken then depends on a hash.
        _ => return Translation::new(deed),
    };
    let (addresses, ports) = if option == "--to-ports" { ("", text) } else { apart(text) };
    let named = (between(addresses), between(ports));
    let whole = named.0.is_some() != addresses.is_empty() && named.1.is_some() != ports.is_empty();
    Translation { deed, addresses: named.0, ports: named.1, whole }
}

/// `ADDRESS[-ADDRESS][:PORT[-PORT]]`, with brackets round an IPv6 address that a port follows.
fn apart(text: &str) -> (&str, &str) {
    if let Some(rest) = text.strip_prefix('[') {
        let (addresses, ports) = rest.split_once(']').unwrap_or((rest, ""));
        return (addresses, ports.trim_start_matches(':'));
    }
    match text.split_once(':') {
        Some((addresses, ports)) if !ports.contains(':') => (addresses, ports),
        _ => (text, ""),
    }
}

fn between<T: FromStr + Copy>(text: &str) -> Option<RangeInclusive<T>> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    Some(low.parse().ok()?..=high.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::{apart, between};
    use std::net::IpAddr;

    #[test]
    fn reads_addresses_and_ports() {
        assert_eq!(apart("10.0.0.1:80-90"), ("10.0.0.1", "80-90"));
        assert_eq!(apart(":8080"), ("", "8080"));
        assert_eq!(apart("[fe80::1]:80"), ("fe80::1", "80"));
        assert_eq!(apart("fe80::1"), ("fe80::1", ""));
        assert_eq!(between::<u16>("80"), Some(80..=80));
        assert_eq!(between::<u16>("80-90/1000"), None);
        let (low, high): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.9".parse().unwrap());
        assert_eq!(between("10.0.0.1-10.0.0.9"), Some(low..=high));
    }
}
