//! That the tables are complete, short and without doubles.

use std::collections::HashSet;

use super::reasons::{ELSEWHERE, Row, TABLES};
use super::{Kind, drop, is_known};
use crate::btf::Btf;

/// Enumerators that name no reason.
const MARKERS: &[&str] = &["SKB_NOT_DROPPED_YET", "SKB_CONSUMED", "SKB_DROP_REASON_MAX", "SKB_DROP_REASON_SUBSYS_MASK"];

fn rows() -> impl Iterator<Item = &'static Row> {
    TABLES.iter().copied().flatten()
}

#[test]
fn every_sentence_is_short_and_every_list_too() {
    for row in rows() {
        let (about, e) = (format!("{:?} {:?}", row.reasons, row.functions), &row.explanation);
        assert!(e.what.chars().count() <= 160, "{about}: {} characters", e.what.chars().count());
        assert!(e.what.ends_with('.') && e.what.starts_with(char::is_uppercase), "{about}: {}", e.what);
        assert!(!e.what.contains(". "), "{about}: more than one sentence");
        assert!(e.causes.len() <= 4 && e.look.len() <= 4, "{about}");
        assert!(e.causes.iter().chain(e.look).all(|text| (3..=110).contains(&text.len())), "{about}");
        assert!(!e.causes.is_empty(), "{about}: no cause");
        assert!(!e.look.is_empty() || e.kind == Kind::Noise, "{about}: nothing to look at");
    }
}

#[test]
fn no_row_hides_another() {
    let mut seen = HashSet::new();
    for row in rows() {
        assert!(!row.reasons.is_empty());
        let functions = if row.functions.is_empty() { &[""][..] } else { row.functions };
        for reason in row.reasons {
            for function in functions {
                assert!(seen.insert((*reason, *function)), "{reason} at {function:?} is there twice");
            }
        }
    }
    for reason in ELSEWHERE {
        assert!(!is_known(reason), "{reason} is explained and listed as not networking");
    }
}

#[test]
fn no_two_reasons_share_their_words() {
    let mut seen = HashSet::new();
    for row in rows() {
        assert!(seen.insert(row.explanation.what), "twice: {}", row.explanation.what);
    }
}

#[test]
fn the_row_for_the_function_wins() {
    for (reason, function, kind, word) in [
        ("NO_SOCKET", "ping_rcv", Kind::Noise, "already delivered"),
        ("NO_SOCKET", "tcp_v4_rcv", Kind::Fault, "TCP port"),
        ("SKB_DROP_REASON_NO_SOCKET", "elsewhere", Kind::Fault, "No socket"),
        ("NOT_SPECIFIED", "__dev_forward_skb2", Kind::Fault, "veth"),
        ("NOT_SPECIFIED", "br_handle_frame_finish", Kind::Fault, "hairpin"),
        ("NOT_SPECIFIED", "br_handle_frame", Kind::Fault, "bridge is down"),
        ("NOT_SPECIFIED", "br_nf_dev_queue_xmit", Kind::Fault, "too big"),
        ("NOT_SPECIFIED", "inet_rtm_getroute", Kind::Noise, "Not a packet"),
        ("NOT_SPECIFIED", "ip6_mc_input", Kind::Noise, "joined"),
        ("NO_TX_TARGET", "br_dev_xmit", Kind::Noise, "bridge"),
        ("IP_INADDRERRORS", "ip_error", Kind::Fault, "ip_forward"),
        ("IP_RPFILTER", "fib_validate_source", Kind::Fault, "Reverse path"),
        ("QUEUE_PURGE", "inet_sock_destruct", Kind::Noise, "closed"),
        ("IP_INHDR", "ip_forward", Kind::Fault, "time to live"),
        ("NETFILTER_DROP", "nft_do_chain", Kind::Fault, "nftables"),
    ] {
        let found = drop(Some(reason), Some(function));
        assert_eq!(found.kind, kind, "{reason} at {function}");
        assert!(found.what.contains(word), "{reason} at {function}: {}", found.what);
    }
}

#[test]
fn what_is_not_known_is_said_to_be_unknown() {
    assert!(drop(Some("BRAND_NEW"), Some("ip_rcv")).what.contains("own name"));
    assert!(drop(None, Some("tcp_v4_rcv")).what.contains("no name"));
    assert!(is_known("NEIGH_FAILED") && !is_known("BRAND_NEW") && !is_known(""));
}

/// Names of the core enum in kernels other than the one running here: what 6.1 to 7.1 have, past renames included.
#[test]
fn the_reasons_of_other_kernels_are_known() {
    for reason in [
        "QDISC_BURST_DROP",
        "MACVLAN_BROADCAST_BACKLOG",
        "IPVLAN_MULTICAST_BACKLOG",
        "SKB_BAD_GSO",
        "IP_TTL_EXCEEDED",
        "IPV6_TOO_MANY_EXTHDRS",
        "TNL_OPT_MISMATCH",
        "TNL_OLD_SEQ",
        "GRE_INVALID_HDR",
        "GRE_CSUM",
        "GRE_TUNNEL_NOT_FOUND",
        "QDISC_OVERLIMIT",
        "CAKE_FLOOD",
        "FQ_FLOW_LIMIT",
        "DUALPI2_STEP_DROP",
        "RECURSION_LIMIT",
    ] {
        assert!(is_known(reason), "{reason}");
    }
}

#[test]
fn every_reason_of_the_running_kernel_is_known() {
    let btf = match Btf::from_kernel() {
        Ok(btf) => btf,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let reasons = btf.enum_values("skb_drop_reason").unwrap();
    let (mut explained, mut elsewhere, mut missing) = (0, 0, vec![]);
    for (name, _) in reasons.iter().filter(|(name, _)| !MARKERS.contains(name)) {
        let reason = name.strip_prefix("SKB_DROP_REASON_").unwrap_or(name);
        if is_known(reason) {
            explained += 1;
        } else if ELSEWHERE.contains(&reason) {
            elsewhere += 1;
        } else {
            missing.push(reason);
        }
    }
    eprintln!("{explained} reasons explained, {elsewhere} of other subsystems");
    assert!(missing.is_empty(), "{missing:?}");
    assert!(explained > 50 && explained + elsewhere + MARKERS.len() >= reasons.len());
}
