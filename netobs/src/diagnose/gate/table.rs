//! Whether a namespace's connection table has room for a new flow.

use crate::conntrack::{Counter, Sample, Socket, Table, Totals};
use crate::diagnose::typed::in_netns;
use crate::diagnose::{Culprit, Finding, Force, Rung};
use crate::netlink;
use crate::netns::Netns;

/// Entries looked at to see of which kind they are.
const SAMPLE: u64 = 4096;

/// Looks at the table of a namespace that tracks the asked flow. Returns what is wrong with it, and how full it is.
///
/// # Errors
/// The namespace cannot be looked into, or the kernel does not tell.
pub fn table(netns: &str, handle: &Netns) -> netlink::Result<(Option<Finding>, String)> {
    let mut socket = Socket::open_in(handle)?;
    let Table { entries, limit } = socket.table()?;
    let most = limit.map_or_else(|| "an unknown number of".to_owned(), |limit| limit.to_string());
    let level = format!("the connection table of {netns} has {entries} of {most} entries");
    // With more than a tenth free nothing is thrown out.
    let Some(limit) = limit.filter(|limit| *limit > 0 && entries.saturating_mul(10) >= limit.saturating_mul(9)) else {
        return Ok((None, level));
    };
    let totals = socket.statistics()?.totals();
    let sample = socket.sample(SAMPLE)?;
    Ok((Some(finding(netns, entries, limit, &totals, sample)), level))
}

fn finding(netns: &str, entries: u64, limit: u64, totals: &Totals, sample: Sample) -> Finding {
    // The kernel looks for one to throw out in 8 buckets only (NF_CT_EVICTION_RANGE of early_drop, 6.18): hardly any new
    // flow finds one there if they are as rare as this.
    let kept = sample.seen > 0 && sample.assured * 100 >= sample.seen * 99;
    let all = sample.assured == sample.seen;
    let full = entries >= limit;
    // Entries come and go while we look.
    let brimming = entries.saturating_add(limit / 100) >= limit;
    let level = format!("{entries} of {limit} entries");
    let how = if brimming { "full" } else { "nearly full" };
    let (cause, force, becomes) = match (kept, brimming) {
        (true, true) if all => (
            "conntrack-full",
            if full { Force::Stops } else { Force::Harms },
            "it holds only flows that the kernel never throws out, so the first packet of each new flow is dropped",
        ),
        (true, true) => (
            "conntrack-full",
            Force::Harms,
            "it holds hardly any flow that the kernel throws out, so the first packet of most new flows is dropped",
        ),
        (true, false) => (
            "conntrack-full",
            Force::Harms,
            "it holds hardly any flow that the kernel throws out, so the first packet of most new flows is going to be \
             dropped as soon as it is",
        ),
        (false, true) => (
            "conntrack-early-drop",
            Force::Harms,
            "for each new flow the kernel silently forgets one that was not answered yet, and whoever waits for that \
             answer waits in vain",
        ),
        (false, false) => (
            "conntrack-early-drop",
            Force::Harms,
            "once it is, the kernel silently forgets a flow that was not answered yet for each new one, and whoever \
             waits for that answer waits in vain",
        ),
    };
    let sentence = format!("The connection table of {netns} is {how} ({level}): {becomes}.");
    let counted = [Counter::Drop, Counter::EarlyDrop, Counter::InsertFailed].map(|counter| {
        let value = totals.get(counter).map_or_else(|| "not counted here".to_owned(), |value| value.to_string());
        format!("{} {value}", counter.name())
    });
    let share = (sample.assured * 100).checked_div(sample.seen).unwrap_or_default();
    let evidence = vec![
        format!("net.netfilter.nf_conntrack_count is {entries} in {netns}, net.netfilter.nf_conntrack_max is {limit}"),
        format!("{share} % of {} entries looked at are assured: seen both ways, and not thrown out", sample.seen),
        format!("conntrack -S in {netns}, since it exists: {}", counted.join(", ")),
    ];
    Finding {
        cause,
        rung: Rung::Conntrack,
        force,
        sentence,
        culprit: Culprit { netns: Some(netns.to_owned()), what: format!("connection table: {level}") },
        evidence,
        // The limit is one for the whole machine, and can be set only from its own namespace.
        fix: vec![format!("sysctl -w net.netfilter.nf_conntrack_max={}", limit.saturating_mul(2))],
        hints: vec![
            format!("who fills it: netobs conntrack --netns {netns}"),
            format!(
                "{} makes room at once, but connections through NAT that are forgotten break",
                in_netns(netns, "conntrack -F")
            ),
            "the limit is one number for the whole machine, and each namespace's own entries are held against it"
                .into(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conntrack::Statistics;

    /// The verdict on a table of 1,000 that holds so many, so many of a thousand of which are assured.
    fn verdict(entries: u64, assured: u64) -> (&'static str, Force) {
        let counted = Statistics::default().totals();
        let finding = finding("host", entries, 1000, &counted, Sample { seen: 1000, assured });
        (finding.cause, finding.force)
    }

    #[test]
    fn full_of_flows_that_stay() {
        assert_eq!(verdict(1000, 1000), ("conntrack-full", Force::Stops));
        // Entries may go while we look.
        assert_eq!(verdict(995, 1000), ("conntrack-full", Force::Harms));
        assert_eq!(verdict(900, 1000), ("conntrack-full", Force::Harms));
    }

    #[test]
    fn a_few_that_may_be_thrown_out_are_room_for_hardly_any() {
        assert_eq!(verdict(1000, 999), ("conntrack-full", Force::Harms));
        assert_eq!(verdict(1000, 990), ("conntrack-full", Force::Harms));
    }

    #[test]
    fn many_that_may_be_thrown_out_are_room_enough() {
        assert_eq!(verdict(1000, 989), ("conntrack-early-drop", Force::Harms));
        assert_eq!(verdict(1000, 0), ("conntrack-early-drop", Force::Harms));
        assert_eq!(verdict(900, 0), ("conntrack-early-drop", Force::Harms));
    }
}
