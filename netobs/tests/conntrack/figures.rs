//! What `conntrack -S` and `-C` say, and who holds the entries.

use std::net::{Ipv4Addr, SocketAddr};

use super::common::{Lab, can_make_labs, run};
use super::conntrack::{Flow, enter};
use super::{Empty, TARGET, as_the_tool_says, flows, records};

#[test]
fn are_those_of_the_conntrack_tool() {
    if !can_make_labs("are_those_of_the_conntrack_tool", &["ip", "conntrack", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let (host, c1) = (lab.netns("host"), lab.netns("c1"));
    run("ip", &["netns", "exec", &c1, "ping", "-c2", "-i0.2", "198.51.100.10"]).good();
    // Twenty flows to be told apart by one port: one can be entered, nineteen cannot.
    let rules = "add table ip clash
        add chain ip clash post { type nat hook postrouting priority 0; }
        insert rule ip clash post udp dport 9999 snat to 203.0.113.2:40000";
    let path = std::env::temp_dir().join(format!("netobs-clash-{}", std::process::id()));
    std::fs::write(&path, rules).unwrap();
    run("ip", &["netns", "exec", &host, "nft", "-f", path.to_str().unwrap()]).good();
    let _ = std::fs::remove_file(&path);
    let c1_netns = netobs::netns::Netns::open(&c1).unwrap();
    netobs::netns::in_netns(&c1_netns, || {
        // All at once, so that each has a port of its own.
        let sockets = [(); 20].map(|()| std::net::UdpSocket::bind("10.40.0.2:0").unwrap());
        for socket in &sockets {
            socket.send_to(b"x", "198.51.100.99:9999").unwrap();
        }
    })
    .unwrap();
    let found = as_the_tool_says(&host, &[]);
    assert_eq!((&found["insert_failed"], &found["drops"]), (&19.into(), &19.into()), "{found:#}");
    assert_eq!(found["netns"], host);
    let ratio = found["entries"].as_f64().unwrap() / found["limit"].as_f64().unwrap();
    assert!((found["ratio"].as_f64().unwrap() - ratio).abs() < 1e-6, "{found:#}");
    // The source before masquerading.
    assert_eq!(found["top"][0]["src"], "10.40.0.2", "{found:#}");

    // Beside all others, one that has never tracked anything.
    let all = records(&[]);
    let of = |netns: &str| all.iter().find(|record| record["netns"] == netns).unwrap().clone();
    assert_eq!((&of(&host)["in_use"], &of(&c1)["in_use"]), (&true.into(), &false.into()));
    assert_eq!((&of(&host)["insert_failed"], &of(&c1)["entries"]), (&19.into(), &0.into()));
    as_the_tool_says(&c1, &[]);
    let text = run(super::netobs(), &["conntrack", "--interval", "100ms"]).good().stdout;
    assert!(text.lines().any(|line| line.starts_with(&host[..host.len().min(19)])), "{text}");
    assert!(!text.contains(&c1) && text.contains("never tracked a connection"), "{text}");
    assert!(text.contains(&format!("{host}: 19 insertions failed")), "{text}");
}

#[test]
fn sources_are_counted_in_both_families() {
    if !can_make_labs("sources_are_counted_in_both_families", &["ip", "conntrack"]) {
        return;
    }
    let empty = Empty::new();
    let v6 = (1..=70).map(|port| SocketAddr::new("fd00::7".parse().unwrap(), port));
    assert_eq!(enter(&empty.netns(), Flow::Unanswered, v6, "[fd00::1]:53".parse().unwrap()), 0);
    for (last, count) in [(1, 50), (2, 100), (3, 1)] {
        let source = flows(Ipv4Addr::new(10, 7, 0, last), count);
        assert_eq!(enter(&empty.netns(), Flow::Assured, source, TARGET), 0);
    }
    let found = as_the_tool_says(&empty.0, &["--top", "3"]);
    assert_eq!(found["entries"], 221);
    let top = serde_json::json!([
        {"src": "10.7.0.2", "entries": 100}, {"src": "fd00::7", "entries": 70}, {"src": "10.7.0.1", "entries": 50}
    ]);
    assert_eq!(found["top"], top, "{found:#}");
    assert_eq!((&found["sources"], &found["top_of"]), (&4.into(), &221.into()), "{found:#}");
    assert!(found["seconds_until_full"].is_null(), "it does not grow: {found:#}");
}

#[test]
fn growth_is_forecast() {
    if !can_make_labs("growth_is_forecast", &["ip", "conntrack"]) {
        return;
    }
    let empty = Empty::new();
    let (done, growing) = std::sync::mpsc::channel::<()>();
    let netns = empty.netns();
    let grower = std::thread::spawn(move || {
        let mut sources = flows(Ipv4Addr::new(10, 7, 0, 1), 50_000);
        while growing.recv_timeout(std::time::Duration::from_millis(5)).is_err() {
            enter(&netns, Flow::Assured, sources.by_ref().take(10), TARGET);
        }
    });
    let found = records(&["--netns", &empty.0]).remove(0);
    done.send(()).unwrap();
    grower.join().unwrap();
    let during = &found["during"];
    let (grown, seconds) = (during["entries"].as_f64().unwrap(), during["seconds"].as_f64().unwrap());
    assert!(grown > 0.0 && seconds >= 0.3, "{found:#}");
    let room = found["limit"].as_f64().unwrap() - found["entries"].as_f64().unwrap();
    let forecast = found["seconds_until_full"].as_f64().unwrap();
    let expected = room * seconds / grown;
    assert!((forecast / expected - 1.0).abs() < 0.01, "{forecast} is not {expected}: {found:#}");
}
