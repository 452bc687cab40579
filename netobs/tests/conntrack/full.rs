//! Tables that are full: what is dropped or evicted is counted to the last.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::common::{Lab, can_make_labs, is_slow, netobs, run};
use super::conntrack::{Flow, Limit, count, enter};
use super::counting::{Counting, Lost};
use super::flood::syn_flood;
use super::{TARGET, as_the_tool_says, flows, record};
use netobs::netns::Netns;

/// The limit where it can be lowered.
const LOW: u64 = 6000;
const C1: Ipv4Addr = Ipv4Addr::new(10, 40, 0, 2);
/// Nobody has this address, and nobody says so.
const NOBODY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 99), 80);

/// A lab whose host has no room left.
fn full(flow: Flow, limit: &Limit) -> Lab {
    let lab = Lab::up();
    let host = Netns::open(&lab.netns("host")).unwrap();
    // What the lab itself has tracked takes some of the room.
    // When a table was full a moment ago, the kernel's next round of cleaning takes entries out of all full ones (gc_worker).
    for _ in 0..3 {
        let _ = enter(&host, flow, flows(Ipv4Addr::new(10, 7, 0, 1), u32::try_from(limit.entries).unwrap()), TARGET);
        if count(&lab.netns("host")) + 10 >= limit.entries {
            break;
        }
    }
    assert!(count(&lab.netns("host")) + 10 >= limit.entries, "{} of {}", count(&lab.netns("host")), limit.entries);
    lab
}

fn number(record: &serde_json::Value, field: &str) -> u64 {
    record[field].as_u64().unwrap()
}

#[test]
fn of_standing_connections_drop_every_new_one() {
    if !can_make_labs("of_standing_connections_drop_every_new_one", &["ip", "conntrack"]) {
        return;
    }
    const FLOWS: u16 = 50_000;
    let limit = Limit::lowered(LOW);
    let lab = full(Flow::Assured, &limit);
    let host = lab.netns("host");
    let counting = Counting::attached(&["--netns", &host]);
    let before = record(&host, &[]);
    syn_flood(&Netns::open(&lab.netns("c1")).unwrap(), C1, NOBODY, FLOWS);
    let after = as_the_tool_says(&host, &[]);
    let counted = counting.interrupt();
    let Lost { overflow, missed } = counted.summary.lost;
    // From 7.0 on a task can be preempted in the middle of a program; a slow processor gives it time to.
    assert!(overflow == 0 && missed <= if is_slow() { u64::from(FLOWS) / 100 } else { 0 }, "{:#?}", counted.summary);
    let dropped = number(&after, "drops") - number(&before, "drops");
    println!("{FLOWS} flows into a table of {}: {dropped} dropped", limit.entries);
    let entered = limit.entries.saturating_sub(number(&before, "entries"));
    // Those for which there was room are in, and those of them that were unanswered made room for another.
    assert!(dropped <= u64::from(FLOWS) && dropped + entered + 100 >= u64::from(FLOWS), "{before:#} {after:#}");
    // The flood is all TCP; a neighbour's announcement may have met the same fate meanwhile.
    let refused = |proto: Option<&str>| {
        counted.total(|row| {
            row.reason.as_deref() == Some("NETFILTER_DROP")
                && row.netns.as_ref() == Some(&host)
                && proto.is_none_or(|proto| row.proto.as_deref() == Some(proto))
        })
    };
    let (of_the_flood, of_all) = (refused(Some("tcp")), refused(None));
    assert!(
        of_the_flood <= dropped && dropped <= of_all + missed,
        "{of_the_flood} <= {dropped} <= {of_all}: {counted:#?}"
    );
    assert_eq!(after["seconds_until_full"].as_f64(), Some(0.0), "{after:#}");

    let text = run(netobs(), &["conntrack", "--netns", &host, "--interval", "100ms"]).good().stdout;
    assert!(text.contains(&format!("conntrack table of {host} is full")), "{text}");
    assert!(text.contains("10.7.0.1") && text.contains(" packets dropped for want of room"), "{text}");
    assert!(!text.contains("\x1b["), "no terminal, no colours: {text}");
}

#[test]
fn of_unanswered_flows_are_evicted_from() {
    if !can_make_labs("of_unanswered_flows_are_evicted_from", &["ip", "conntrack"]) {
        return;
    }
    const FLOWS: u16 = 2_000;
    let limit = Limit::lowered(LOW);
    let lab = full(Flow::Unanswered, &limit);
    let host = lab.netns("host");
    let before = record(&host, &[]);
    syn_flood(&Netns::open(&lab.netns("c1")).unwrap(), C1, NOBODY, FLOWS);
    let after = as_the_tool_says(&host, &[]);
    let evicted = number(&after, "early_drops") - number(&before, "early_drops");
    // All that share a place in the hash table are evicted at once (early_drop_list): the last may be some more.
    assert!(evicted > 0 && evicted < u64::from(FLOWS) + 100, "{after:#}");
    let text = run(netobs(), &["conntrack", "--netns", &host, "--interval", "100ms"]).good().stdout;
    assert!(text.contains("of unanswered flows evicted to make room"), "{text}");
}
