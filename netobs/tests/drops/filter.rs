//! Which drops are counted is decided in the kernel.

use super::bed::{Bed, ip, refused, send};
use super::common::can_make_labs;
use super::counting::Counting;

#[test]
fn by_an_expression_a_namespace_or_a_device() {
    if !can_make_labs("by_an_expression_a_namespace_or_a_device", &["ip"]) {
        return;
    }
    let (bed, other) = (Bed::new(), Bed::new());
    let mut turn = 0;
    for (arguments, expected) in [
        (&["udp port 1111"][..], 7 + 5),
        (&["udp", "and", "dst", "port", "2222"], 3),
        (&["udp port 1111", "--netns", &bed.right], 7),
        (&["udp portrange 1111-2222", "--netns", &other.right], 5),
        (&["udp portrange 1111-2222", "--netns", &bed.right, "--device", "eth0"], 7 + 3),
        (&["udp portrange 1111-2222", "--netns", &bed.right, "--device", "lo"], 0),
        (&["tcp port 1111"], 0),
    ] {
        let counting = Counting::attached(arguments);
        send(&bed.left, "10.77.0.2", 1111, 7);
        send(&bed.left, "10.77.0.2", 2222, 3);
        send(&other.left, "10.77.0.2", 1111, 5);
        turn += 1;
        refused(&bed.right, turn * (7 + 3));
        refused(&other.right, turn * 5);
        let counted = counting.interrupt();
        counted.nothing_lost();
        let own = |row: &super::counting::Row| {
            row.netns.as_ref().is_some_and(|name| [&bed.right, &other.right].contains(&name))
        };
        assert_eq!(counted.total(own), expected, "{arguments:?}: {:#?}", counted.rows);
        if arguments.contains(&"--netns") {
            assert!(counted.rows.iter().all(own), "{arguments:?}: {:#?}", counted.rows);
        }
    }
}

#[test]
fn more_rows_than_there_is_room_for() {
    if !can_make_labs("more_rows_than_there_is_room_for", &["ip"]) {
        return;
    }
    let (rows, devices, each) = (2, 6, 100);
    let bed = Bed::new();
    for number in 0..devices {
        ip(&bed.left, &format!("link add d{number} type bridge"));
        ip(&bed.left, &format!("addr add 10.78.{number}.1/24 dev d{number}"));
        ip(&bed.left, &format!("link set d{number} up"));
        ip(&bed.left, &format!("neigh add 10.78.{number}.2 lladdr 02:00:00:00:00:09 dev d{number} nud permanent"));
    }
    // There the packet has its device.
    Bed::drop_at(&bed.left, "postrouting");
    let counting = Counting::attached(&["udp", "--netns", &bed.left, "--rows", &rows.to_string()]);
    for number in 0..devices {
        send(&bed.left, &format!("10.78.{number}.2"), super::bed::PORT, each);
    }
    let counted = counting.interrupt();
    assert!(counted.rows.len() <= rows, "{:#?}", counted.rows);
    assert!(counted.summary.lost.overflow >= each * (devices - rows as u64), "{:#?}", counted.summary);
    assert_eq!(counted.summary.drops + counted.summary.lost.overflow, each * devices, "{:#?}", counted.summary);
    assert_eq!(counted.summary.lost.missed, 0);
}
