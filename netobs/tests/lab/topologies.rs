//! Topologies from files: the built-in ones, a user's own, and those that have mistakes.

use std::fs;

use netobs::lab::Builtin;
use serde_json::Value;

use crate::common::{Lab, can_make_labs, has, lab, skip};

/// What `netobs lab status` says of one lab.
pub fn status(lab: &Lab) -> Value {
    let shown = crate::common::lab(&["status", "--format", "json"]).good().stdout;
    let mut labs = shown.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    labs.find(|found| found["lab"] == lab.name.as_str()).unwrap()
}

#[test]
fn builds_every_topology_and_each_shows_what_it_says() {
    if !can_make_labs("builds_every_topology_and_each_shows_what_it_says", &["ip", "ping"]) {
        return;
    }
    for builtin in Builtin::ALL {
        let topology = builtin.topology().unwrap();
        let own = Lab::unbuilt();
        own.build_from(builtin.name).good();
        let found = status(&own);
        assert_eq!(found["state"], "up", "{found:#}");
        for experiment in &topology.experiments {
            let words: Vec<&str> = experiment.run.split(' ').collect();
            if !has(words[0]) {
                skip(
                    "builds_every_topology_and_each_shows_what_it_says",
                    &format!("{}: no {}", builtin.name, words[0]),
                );
                continue;
            }
            let answer = own.exec(&experiment.node, &words);
            assert_eq!(answer.status != 0, experiment.fails, "{}: {}: {answer:#?}", builtin.name, experiment.run);
        }
        own.remove().good();
        assert_eq!(own.remains(), [""; 0], "{}", builtin.name);
    }
}

#[test]
fn lists_and_describes_them() {
    let listed = lab(&["topologies"]).good().stdout;
    assert_eq!(listed.lines().count(), Builtin::ALL.len());
    assert!(listed.lines().all(|line| line.ends_with('.')), "{listed}");
    let json = lab(&["topologies", "--format", "json"]).good().stdout;
    let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&first["type"], &first["name"]), (&"builtin_topology".into(), &"fresh".into()));
    let schema: Value = serde_json::from_str(&lab(&["schema"]).good().stdout).unwrap();
    assert!(schema["properties"]["nodes"].is_object(), "{schema:#}");
    assert_eq!(lab(&["schema", "--file", "vxlan"]).good().stdout, Builtin::find("vxlan").unwrap().text);
    lab(&["schema", "--file", "nothing"]).bad(2, "nothing");
}

#[test]
fn tells_all_mistakes_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    fs::write(&file, "[[nodes]]\nname = \"a\"\nroutes = [{ via = \"10.0.0.1\" }]\ncolour = 1\n").unwrap();
    let own = Lab::unbuilt();
    let answer = own.build_from(file.to_str().unwrap());
    assert_eq!((answer.status, answer.stdout.as_str()), (2, ""), "{answer:#?}");
    let lines: Vec<&str> = answer.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "that the gateway is off link may be no more than a consequence: {lines:?}");
    assert!(lines[0].contains("own.toml:4: `colour` means nothing here"), "{lines:?}");
    assert_eq!(own.remains(), [""; 0]);

    fs::write(&file, include_str!("mistakes.toml")).unwrap();
    let answer = own.build_from(file.to_str().unwrap());
    assert_eq!(answer.status, 2);
    assert!(answer.stderr.lines().count() > 30, "{answer:#?}");
    own.build_from("./no-such-file.toml").bad(2, "cannot be read");
    own.build_from("/dev/zero").bad(2, "not a topology file");
    own.build_from("no-such-topology").bad(2, "there is no such topology");
}
