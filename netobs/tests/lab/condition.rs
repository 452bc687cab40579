//! Labs that are up already, changed, broken, or in the way of others.

use std::thread;

use netobs::netns::Netns;

use crate::common::{Lab, can_make_labs, lab, run};
use crate::in_namespace;

#[test]
fn says_so_when_there_is_nothing_to_do() {
    if !can_make_labs("says_so_when_there_is_nothing_to_do", &["ip"]) {
        return;
    }
    let lab = Lab::unbuilt();
    assert!(lab.build().good().stdout.contains("is up after"));
    assert!(lab.build().good().stdout.contains("is up already"));
    assert!(lab.remove().good().stdout.contains("is removed"));
    assert!(lab.remove().good().stdout.contains("nothing to remove"));
}

#[test]
fn takes_one_builder_at_a_time_and_several_labs() {
    if !can_make_labs("takes_one_builder_at_a_time_and_several_labs", &["ip", "ping"]) {
        return;
    }
    let (one, other) = (Lab::unbuilt(), Lab::unbuilt());
    thread::scope(|scope| {
        let builders: Vec<_> = (0..3).map(|_| scope.spawn(|| one.build().good())).collect();
        scope.spawn(|| other.build().good());
        let said: Vec<_> = builders.into_iter().map(|builder| builder.join().unwrap().stdout).collect();
        assert_eq!(said.iter().filter(|text| text.contains("already")).count(), 2, "{said:?}");
    });
    for lab in [&one, &other] {
        in_namespace(lab, "c1", &["ping", "-c1", "-W5", "10.40.0.3"]).good();
    }
    one.remove().good();
    assert_eq!(one.remains(), [""; 0]);
    in_namespace(&other, "c1", &["ping", "-c1", "-W5", "10.40.0.3"]).good();
}

#[test]
fn tells_what_has_been_changed() {
    if !can_make_labs("tells_what_has_been_changed", &["ip", "nft"]) {
        return;
    }
    let own = Lab::up();
    in_namespace(&own, "host", &["ip", "link", "set", "c1-h", "nomaster"]).good();
    in_namespace(&own, "host", &["nft", "delete", "table", "ip", "lab"]).good();
    in_namespace(&own, "c2", &["ip", "link", "set", "eth0", "down"]).good();
    let (again, other) = (format!("up, but changed; `netobs lab up --name {}` mends it", own.name), Lab::up());
    let shown = lab(&["status", &own.name]).good().stdout;
    assert!(!shown.contains(&other.name), "one lab was asked for: {shown}");
    for wrong in [
        &again,
        "host: c1-h is not a port of br0",
        "host: nft table ip lab is gone",
        "host: c2-h has no carrier",
        "c2: eth0 is down",
        "c2: no route default via 10.40.0.1",
    ] {
        assert!(shown.contains(wrong), "{wrong}:\n{shown}");
    }
}

#[test]
fn touches_no_stranger_of_the_same_name() {
    if !can_make_labs("touches_no_stranger_of_the_same_name", &["ip"]) {
        return;
    }
    let lab = Lab::unbuilt();
    let theirs = lab.netns("c1");
    run("ip", &["netns", "add", &theirs]).good();
    let refused = lab.build();
    let removed = lab.remove();
    let still_there = Netns::open(&theirs).is_ok();
    run("ip", &["netns", "del", &theirs]).good();
    refused.bad(1, "exists already and is not this lab's");
    removed.good();
    assert!(still_there);
    assert_eq!(lab.remains(), [""; 0]);
}
