//! Two faults at once: both are named.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::common::{Lab, lab, takes_too_long};
use crate::{ask, causes, watcher};

/// Who asks, whom, the faults on that way, and those of them that one cannot have together: the second would undo the
/// first, or could not be made once the first is there.
struct Way {
    from: &'static str,
    to: &'static str,
    faults: &'static [&'static str],
    apart: &'static [&'static [&'static str]],
}

const WAYS: [Way; 2] = [
    Way {
        from: "c1",
        to: "198.51.100.10",
        faults: &[
            "host-veth-down",
            "veth-not-enslaved",
            "bridge-down",
            "no-default-route",
            "wrong-gateway",
            "address-without-prefix",
            "container-veth-down",
            "ip-forward-off",
            "host-no-route",
            "no-masquerade",
            "forward-policy-drop",
            "veth-mtu-mismatch",
            "duplicate-address",
        ],
        // All four take the default route away.
        apart: &[&["no-default-route", "wrong-gateway", "address-without-prefix", "container-veth-down"]],
    },
    Way {
        from: "inet",
        to: "203.0.113.2:8080",
        faults: &[
            "host-veth-down",
            "veth-not-enslaved",
            "bridge-down",
            "ip-forward-off",
            "forward-policy-drop",
            "no-listener",
            "no-default-route",
            "veth-mtu-mismatch",
        ],
        // Without its port the bridge no longer takes that port's MTU for its own: plugged in again it is the bridge that
        // sends what the port does not take.
        apart: &[&["veth-mtu-mismatch", "veth-not-enslaved"]],
    },
];
const PAIRS: usize = 40;
/// Most of a diagnosis is waiting.
const AT_ONCE: usize = 3;

/// The same in every run, unless told otherwise.
fn seed() -> u64 {
    std::env::var("NETOBS_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(5)
}

/// Pairs at random, none twice.
fn pairs() -> Vec<(&'static Way, [&'static str; 2])> {
    let mut state = seed();
    let mut below = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % end
    };
    let mut known = BTreeSet::new();
    let mut pairs = Vec::new();
    while pairs.len() < PAIRS {
        let way = &WAYS[below(WAYS.len())];
        let mut pair = [way.faults[below(way.faults.len())], way.faults[below(way.faults.len())]];
        pair.sort_unstable();
        let apart = way.apart.iter().any(|apart| pair.iter().all(|fault| apart.contains(fault)));
        if pair[0] != pair[1] && !apart && known.insert((way.from, pair)) {
            pairs.push((way, pair));
        }
    }
    pairs
}

#[test]
fn both_of_forty_random_pairs_are_named() {
    let test = "both_of_forty_random_pairs_are_named";
    if takes_too_long(test) || watcher(test).is_none() {
        return;
    }
    let (pairs, next, missed) = (pairs(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let mut watcher = watcher(test).unwrap();
                while let Some((way, pair)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let own = Lab::up();
                    for fault in pair {
                        lab(&["break", fault, "--name", &own.name]).good();
                    }
                    let diagnosis = ask(&mut watcher, &own, way.from, way.to);
                    let named = causes(&diagnosis);
                    if !pair.iter().all(|fault| named.contains(fault)) {
                        let told = format!("{pair:?}, {} to {}: {named:?}\n{diagnosis:#?}", way.from, way.to);
                        missed.lock().unwrap().push(told);
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "seed {}, {} of {PAIRS} missed:\n{}", seed(), missed.len(), missed.join("\n"));
}
