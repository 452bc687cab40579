//! Breaking and mending by hand.

use std::fs;

use crate::common::{Lab, can_make_labs, lab};

#[test]
fn breaks_and_mends_a_lab_that_is_up() {
    if !can_make_labs("breaks_and_mends_a_lab_that_is_up", &["ip", "ping"]) {
        return;
    }
    let own = Lab::up();
    let reaches = || own.exec("c1", &["ping", "-c1", "-W1", "198.51.100.10"]).status == 0;
    assert!(reaches());
    let told = lab(&["break", "no-default-route", "--name", &own.name]).good().stdout;
    assert!(told.contains("ip route del default via 10.40.0.1"), "what a person would type: {told}");
    assert!(told.contains(&format!("netobs lab fix --name {} no-default-route", own.name)), "{told}");
    assert!(!reaches());
    let tried = lab(&["try", "no-default-route", "--name", &own.name]);
    assert_eq!(tried.status, 1, "{tried:#?}");
    assert!(tried.stdout.contains("NO c1: ping 198.51.100.10 cannot be sent: no route"), "{tried:#?}");
    // It is broken already.
    let again = lab(&["break", "no-default-route", "--name", &own.name]);
    assert_eq!(again.status, 1, "{again:#?}");
    assert!(again.stdout.contains("delete route default via 10.40.0.1"), "{again:#?}");
    lab(&["fix", "no-default-route", "--name", &own.name]).good();
    assert!(reaches());
    let tried = lab(&["try", "no-default-route", "--name", &own.name]).good().stdout;
    assert!(tried.contains("ok c1: ping 198.51.100.10 works"), "{tried}");
}

/// What the kernel may throw out would leave room for one more.
#[test]
fn fills_a_table_with_what_stays_there() {
    if !can_make_labs("fills_a_table_with_what_stays_there", &["ip", "bash", "conntrack"]) {
        return;
    }
    let scenario = lab(&["scenarios", "--show", "conntrack-full"]).good().stdout;
    let without_flush = scenario.replacen("[[break]]\nnode = \"host\"\nconntrack = \"flush\"\n", "", 1);
    assert_ne!(without_flush, scenario);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("filled.toml");
    fs::write(&path, without_flush).unwrap();

    let own = Lab::up();
    let host = |command: &[&str]| own.exec("host", command).good().stdout;
    let unanswered = || host(&["conntrack", "-L", "-p", "udp"]);
    own.exec("c1", &["bash", "-c", "echo >/dev/udp/198.51.100.10/9"]).good();
    assert!(unanswered().contains("dport=9 [UNREPLIED]"), "{}", unanswered());
    lab(&["break", path.to_str().unwrap(), "--name", &own.name]).good();
    assert_eq!(unanswered(), "");
    let file = |name: &str| host(&["cat", &format!("/proc/sys/net/netfilter/nf_conntrack_{name}")]);
    assert_eq!(file("count"), file("max"));
}

#[test]
fn refuses_what_is_not_there() {
    lab(&["break", "no-such-scenario"]).bad(2, "netobs lab scenarios");
    lab(&["run", "no-such-scenario"]).bad(2, "netobs lab scenarios");
    lab(&["run", "./no-such-file.toml"]).bad(2, "no-such-file.toml");
    if can_make_labs("refuses_what_is_not_there", &[]) {
        lab(&["break", "no-default-route", "--name", "no-such-lab"]).bad(1, "there is no lab `no-such-lab`");
    }
}
