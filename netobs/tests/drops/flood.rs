//! As many drops as the machine can make: none is lost.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, gettid};

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
    flood(&[&bed.left, &other.left], each);
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
    let tolerated = if is_slow() { each / 1_000 } else { 0 };
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

/// Sends from several threads in each of the namespaces, and has the threads go from CPU to CPU all the while: from 7.0 on
/// they may do so in the middle of a drop.
fn flood(namespaces: &[&str], each: u64) {
    let myself = Pid::from_raw(0);
    let allowed = sched_getaffinity(myself).unwrap();
    let cpus: Vec<_> = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap()).collect();
    let tasks = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let mut senders = Vec::new();
        for netns in namespaces.repeat(THREADS as usize) {
            senders.push(scope.spawn(|| {
                tasks.lock().unwrap().push(gettid());
                send(netns, "10.77.0.2", PORT, each);
            }));
        }
        for turn in 0.. {
            if senders.iter().all(|sender| sender.is_finished()) {
                break;
            }
            for (task, cpu) in tasks.lock().unwrap().iter().zip(cpus.iter().cycle().skip(turn % cpus.len())) {
                let mut only = CpuSet::new();
                only.set(*cpu).unwrap();
                // It may have ended.
                let _ = sched_setaffinity(*task, &only);
            }
            thread::sleep(Duration::from_micros(500));
        }
    });
}
