//! As many drops as the machine can make: none is lost.

use std::thread;
use std::time::{Duration, Instant};

use super::bed::{Bed, PORT, send};
use super::common::can_make_labs;
use super::counting::{Counting, Lost};
use super::tracer::{at_most, is_slow};

/// Threads that send what is dropped where a process runs, and as many that send what is dropped in a softirq.
const THREADS: u64 = 2;

#[test]
fn loses_none() {
    if !can_make_labs("loses_none", &["ip"]) {
        return;
    }
    let each = if is_slow() { 10_000 } else { 300_000 };
    let bed = Bed::new();
    // The one drops in the sender's own context, with softirqs enabled; the other in the softirq that receives.
    let other = Bed::new();
    Bed::drop_at(&bed.left, "output");
    Bed::drop_at(&other.right, "prerouting");
    let counting = Counting::attached(&["--interval", "100ms"]);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| send(&bed.left, "10.77.0.2", PORT, each));
            scope.spawn(|| send(&other.left, "10.77.0.2", PORT, each));
        }
    });
    // A queue that another CPU works off may take its time on a busy machine.
    let began = Instant::now();
    while Bed::dropped_by_rule(&other.right) < each * THREADS && began.elapsed() < at_most(Duration::from_secs(3)) {
        thread::sleep(Duration::from_millis(50));
    }
    let counted = counting.interrupt();
    let Lost { overflow, missed } = counted.summary.lost;
    assert_eq!(overflow, 0, "{:#?}", counted.rows);
    // From 7.0 on a task can be preempted in the middle of a program, and while it waits other drops find it taken. With
    // a slow processor that happens to all programs at once now and then.
    let tolerated = if is_slow() { each / 100 } else { 0 };
    assert!(missed <= tolerated, "{:#?}", counted.summary);
    assert_eq!(Bed::dropped_by_rule(&bed.left), each * THREADS);
    let dropped = |netns: &String| counted.total(|row| row.is("NETFILTER_DROP", netns, "udp"));
    let (left, right) = (dropped(&bed.left), dropped(&other.right));
    let by_rules = each * THREADS + Bed::dropped_by_rule(&other.right);
    assert!((by_rules - missed..=by_rules).contains(&(left + right)), "{left} and {right}: {:#?}", counted.rows);
    // A backlog that overflows drops before the rule can.
    let others = counted.total(|row| {
        let own = row.netns.as_ref().is_some_and(|name| [&other.left, &other.right].contains(&name));
        own && row.proto.as_deref() == Some("udp")
    });
    assert_eq!(left + others + missed, 2 * each * THREADS, "{:#?}", counted.rows);
}
