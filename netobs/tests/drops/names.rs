//! Names of what was there when a packet was dropped, though it is gone when anybody looks.

use super::bed::{Bed, PORT, inside, ip, send};
use super::common::{can_make_labs, run};
use super::counting::Counting;

/// Two namespaces, one after the other, each gone long before the first reading. The kernel gives the second one the
/// inode of the first.
#[test]
fn of_namespaces_that_have_gone() {
    if !can_make_labs("of_namespaces_that_have_gone", &["ip"]) {
        return;
    }
    // For the directory of names.
    let _bed = Bed::new();
    let counting = Counting::attached(&["--interval", "1h"]);
    let names = ["a", "b", "c"].map(|letter| format!("dr{}-gone-{letter}", std::process::id()));
    for (name, datagrams) in names.iter().zip(1..) {
        run("ip", &["netns", "add", name]).good();
        ip(name, "link set lo up");
        // While it lives for a moment.
        std::thread::sleep(std::time::Duration::from_millis(200));
        send(name, "127.0.0.1", PORT, datagrams);
        run("ip", &["netns", "del", name]).good();
    }
    let counted = counting.interrupt();
    counted.nothing_lost();
    for (name, datagrams) in names.iter().zip(1..) {
        assert_eq!(counted.total(|row| row.is("NO_SOCKET", name, "udp")), datagrams, "{name}: {:#?}", counted.rows);
    }
}

#[test]
fn of_a_device_that_has_gone_and_one_that_was_renamed() {
    if !can_make_labs("of_a_device_that_has_gone_and_one_that_was_renamed", &["ip"]) {
        return;
    }
    let bed = Bed::new();
    let counting = Counting::attached(&["--interval", "1h", "--netns", &bed.right]);
    send(&bed.left, "10.77.0.2", PORT, 3);
    ip(&bed.right, "link set eth0 down");
    ip(&bed.right, "link set eth0 name other0");
    ip(&bed.right, "link set other0 up");
    ip(&bed.right, "neigh replace 10.77.0.1 lladdr 02:00:00:00:00:01 dev other0 nud permanent");
    inside(
        &bed.left,
        &["ip", "neigh", "replace", "10.77.0.2", "lladdr", "02:00:00:00:00:02", "dev", "eth0", "nud", "permanent"],
    )
    .good();
    send(&bed.left, "10.77.0.2", PORT, 4);
    ip(&bed.right, "link del other0");
    let counted = counting.interrupt();
    for (device, datagrams) in [("eth0", 3), ("other0", 4)] {
        let here = |row: &super::counting::Row| {
            row.is("NO_SOCKET", &bed.right, "udp") && row.device.as_deref() == Some(device)
        };
        assert_eq!(counted.total(here), datagrams, "{device}: {:#?}", counted.rows);
    }
}

/// A script that asks for a field finds it, if only as null.
#[test]
fn every_field_is_there() {
    if !can_make_labs("every_field_is_there", &["ip"]) {
        return;
    }
    let bed = Bed::new();
    let counting = Counting::attached(&["--interval", "100ms"]);
    send(&bed.left, "10.77.0.2", PORT, 3);
    std::thread::sleep(std::time::Duration::from_millis(400));
    let counted = counting.interrupt();
    assert!(!counted.raw.is_empty());
    for record in &counted.raw {
        for field in
            ["type", "reason", "function", "netns", "device", "proto", "count", "rate", "interval", "explanation"]
        {
            assert!(record.get(field).is_some(), "{field}: {record:#}");
        }
    }
}
