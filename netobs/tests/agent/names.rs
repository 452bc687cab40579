//! Namespaces that come and go, and what their series are called.

use std::process::{Command, Stdio};

use super::bed::{Bed, PORT, send};
use super::common::{can_make_labs, run};
use super::served::{Agent, Scrape};

fn closed_ports(scrape: &Scrape, netns: &str) -> u64 {
    scrape.count(&format!("packet_drops_total{{netns=\"{netns}\",reason=\"NO_SOCKET\",cause=\"no-listener\"}}"))
}

#[test]
fn one_that_came_and_went_between_two_scrapes_has_its_name() {
    if !can_make_labs("one_that_came_and_went_between_two_scrapes_has_its_name", &["ip"]) {
        return;
    }
    let agent = Agent::ready(&[]);
    let bed = Bed::new();
    let (left, right) = (bed.left.clone(), bed.right.clone());
    send(&left, "10.77.0.2", PORT, 40);
    drop(bed);
    let scrape =
        agent.scrape_until("the namespaces are gone", |scrape| scrape.with("netns_info", "netns", &right).is_empty());
    assert_eq!(closed_ports(&scrape, &right), 40, "{:?}", scrape.with("packet_drops_total", "netns", "unknown"));
    assert!(scrape.with("conntrack_entries", "netns", &right).is_empty(), "a gauge ends at once");
    // Told again until it ends, and not twice as much.
    assert_eq!(closed_ports(&agent.scrape(), &right), 40);
    assert_eq!(closed_ports(&agent.scrape(), &right), 40);
}

#[test]
fn one_that_comes_again_under_its_name_goes_on_counting() {
    if !can_make_labs("one_that_comes_again_under_its_name_goes_on_counting", &["ip"]) {
        return;
    }
    let agent = Agent::ready(&[]);
    let bed = Bed::new();
    send(&bed.left, "10.77.0.2", PORT, 40);
    let received = format!("interface_receive_packets_total{{netns=\"{}\",device=\"eth0\"}}", bed.right);
    let before = agent.scrape();
    assert_eq!((closed_ports(&before, &bed.right), before.count(&received)), (40, 40));
    let bed = bed.again();
    send(&bed.left, "10.77.0.2", PORT, 7);
    let after = agent.scrape();
    assert_eq!((closed_ports(&after, &bed.right), after.count(&received)), (47, 47), "{}", after.text);
    let infos = after.with("netns_info", "netns", &bed.right);
    assert_eq!(infos.len(), 1, "{infos:?}");
}

#[test]
fn nothing_is_called_by_a_number() {
    if !can_make_labs("nothing_is_called_by_a_number", &["ip", "unshare"]) {
        return;
    }
    let agent = Agent::ready(&[]);
    let mut alone = Command::new("unshare").args(["-n", "sleep", "600"]).stdin(Stdio::null()).spawn().unwrap();
    let scrape = agent.scrape_until("the new namespace", |scrape| {
        let inode = std::fs::read_link(format!("/proc/{}/ns/net", alone.id())).unwrap();
        let inode = inode.to_string_lossy().trim_start_matches("net:[").trim_end_matches(']').to_owned();
        !scrape.with("netns_info", "inode", &inode).is_empty()
    });
    let _ = alone.kill();
    let _ = alone.wait();
    assert_eq!(scrape.with("netns_info", "netns", "host").len(), 1);
    for line in scrape.text.lines().filter(|line| line.contains("netns=\"")) {
        let netns = line.split("netns=\"").nth(1).unwrap().split('"').next().unwrap();
        assert!(!netns.is_empty() && !netns.starts_with("pid:") && netns.parse::<u64>().is_err(), "{line}");
    }
    let pins = run("ip", &["-j", "netns"]).good().stdout;
    for (series, _) in scrape.with("netns_info", "runtime", "") {
        let netns = series.split('"').nth(1).unwrap();
        let is_pin = pins.contains(&format!("\"{netns}\""));
        assert!(is_pin || ["host", "unnamed"].contains(&netns) || netns.ends_with(".service"), "{series}: {pins}");
    }
}
