//! What is in a node: a container like any other.

use std::thread;
use std::time::Duration;

use crate::common::{Lab, can_make_labs, eventually};

#[test]
fn is_a_container_with_an_init() {
    if !can_make_labs("is_a_container_with_an_init", &["ip", "ps"]) {
        return;
    }
    let own = Lab::up();
    let inside = |script: &str| own.exec("c1", &["sh", "-c", script]);
    let namespaces = ["net", "pid", "mnt", "uts", "ipc"];
    for kind in namespaces {
        let path = format!("/proc/1/ns/{kind}");
        let theirs = inside(&format!("readlink {path}")).good().stdout;
        let other = own.exec("c2", &["readlink", &path]).good().stdout;
        let ours = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert!(theirs != other && theirs.trim() != ours.to_str().unwrap(), "{kind}: {theirs}{other}");
    }
    let processes = inside("ps -e -o pid=").good().stdout;
    assert!(processes.lines().count() < 6, "its own processes and no others: {processes}");
    assert!(inside("ls /sys/class/net").good().stdout.contains("eth0"));

    // Nobody's names are mounted in it, nor its own: each would cost a mount in every node, and keep a namespace alive.
    let mounts = inside("cat /proc/self/mountinfo").good().stdout;
    assert!(!mounts.contains(" - nsfs "), "{mounts}");

    // An orphan becomes a child of PID 1, which has to reap it.
    inside("(sh -c 'sleep 0.2; exit 3' &) ; true").good();
    thread::sleep(Duration::from_millis(300));
    eventually("no zombie is left", || !inside("ps -e -o stat=").good().stdout.contains('Z'));

    assert_eq!(inside("exit 42").status, 42);
    assert_eq!(inside("kill -TERM $$").status, 128 + 15);
    // A signal for which PID 1 has no handler does nothing to it from inside.
    inside("kill -KILL 1");
    assert_eq!(own.exec("c1", &["true"]).status, 0);
}
