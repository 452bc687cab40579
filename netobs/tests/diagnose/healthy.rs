//! Where nothing is wrong, nothing is found.

use crate::common::{Lab, is_slow};
use crate::{ask, told, watcher};

/// A topology, who asks, and whom.
const QUESTIONS: [(&str, &[(&str, &str)]); 8] = [
    (
        "default",
        &[
            ("c1", "10.40.0.1"),
            ("c1", "10.40.0.3"),
            ("c1", "198.51.100.10"),
            ("c1", "198.51.100.10:80"),
            ("c1", "203.0.113.1"),
            ("c1", "127.0.0.1"),
            ("c1", "10.40.0.2"),
            ("c2", "10.40.0.2:80"),
            ("host", "10.40.0.2"),
            ("host", "10.40.0.2:80"),
            ("host", "198.51.100.10"),
            ("inet", "203.0.113.2:8080"),
            ("inet", "203.0.113.2"),
        ],
    ),
    ("three-containers", &[("net1", "10.10.0.3"), ("net1", "198.51.100.10"), ("host", "10.10.0.2")]),
    ("two-uplinks", &[("c1", "198.51.100.10"), ("c1", "10.40.0.1")]),
    ("routed", &[("c1", "10.10.0.3")]),
    ("ipv6", &[("c1", "2001:db8:2::10"), ("inet", "203.0.113.2:8080")]),
    ("vxlan", &[("c1", "10.50.0.12")]),
    ("host-only", &[("host", "10.20.0.2")]),
    ("uplink-in-bridge", &[("c1", "198.51.100.10")]),
];
/// So often each is asked.
const ROUNDS: usize = 5;

#[test]
fn nothing_is_found_in_a_hundred_healthy_networks() {
    let Some(mut watcher) = watcher("nothing_is_found_in_a_hundred_healthy_networks") else { return };
    let (rounds, topologies) = if is_slow() { (1, 1) } else { (ROUNDS, QUESTIONS.len()) };
    let mut asked = 0;
    let mut found = Vec::new();
    for round in 0..rounds {
        for (topology, questions) in QUESTIONS.iter().take(topologies) {
            let lab = Lab::unbuilt();
            lab.build_from(topology).good();
            for (from, to) in *questions {
                let diagnosis = ask(&mut watcher, &lab, from, to);
                asked += 1;
                if !diagnosis.healthy || diagnosis.cause.is_some() {
                    found.push(format!("round {round}, {topology}, {from} to {to}: {diagnosis:#?}"));
                }
                assert!(
                    diagnosis.round_trip.is_some() || !diagnosis.healthy,
                    "healthy without an answer: {diagnosis:#?}"
                );
            }
        }
    }
    assert!(found.is_empty(), "{} of {asked}:\n{}", found.len(), found.join("\n"));
    assert!(is_slow() || asked >= 100, "{asked}");
}

#[test]
fn says_the_way_and_the_time_for_each_hop() {
    if watcher("says_the_way_and_the_time_for_each_hop").is_none() {
        return;
    }
    let lab = Lab::up();
    let (from, to) = (lab.netns("c1"), "198.51.100.10");
    let text = told(&["--from", &from, "--to", to]).good().stdout;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].contains(to), "{text}");
    let drawn = lines.iter().position(|line| line.contains("way ")).unwrap();
    for device in ["eth0", "c1-h", "br0", "up0"] {
        assert!(lines[drawn + 1].contains(device), "{device}: {text}");
    }
    assert!(lines[drawn + 2].contains("µs"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let answer = told(&["--from", &from, "--to", to, "--format", "json"]).good();
    let record: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(record["type"], "diagnosis");
    assert_eq!((&record["from"], &record["to"]), (&from.into(), &to.into()));
    assert_eq!((&record["healthy"], &record["cause"]), (&true.into(), &serde_json::Value::Null));
    let places = record["path"]["out"]["places"].as_array().unwrap();
    assert!(places.iter().all(|place| place["offset_ns"].is_u64() && place["seen"] == true), "{places:#?}");
    assert!(record["round_trip_ns"].is_u64());
}
