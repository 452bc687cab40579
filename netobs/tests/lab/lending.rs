//! A device of the machine's own that a node borrows comes back as it was.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use netobs::netns::{Netns, fresh_netns, in_netns};

use crate::common::{Answer, Lab, can_make_labs, netobs};
use crate::crash::stride;
use crate::topologies::status;

const FILE: &str = r#"
about = "A node with a device of the machine's."
[[nodes]]
name = "a"
lent = [{ device = "real0", name = "eth7", addresses = ["10.9.0.2/24"] }]
routes = [{ via = "10.9.0.1" }]
[[nodes]]
name = "b"
bridges = [{ name = "br0" }]
lent = [{ device = "real1", bridge = "br0" }]
"#;

/// Runs something in the namespace that stands for the machine's own.
fn on(machine: &Netns, crash_at: usize, program: &str, arguments: &[&str]) -> Answer {
    let run = || {
        let mut command = if program == "netobs" { Command::new(netobs()) } else { Command::new(program) };
        command.args(arguments).stdin(Stdio::null()).env("NETOBS_TEST_CRASH_AT", crash_at.to_string());
        command.output().unwrap()
    };
    in_netns(machine, run).unwrap().into()
}

/// What must come back: name, MTU, state and addresses of both devices.
fn devices(machine: &Netns) -> String {
    let shown = on(machine, 0, "ip", &["-br", "addr", "show", "up"]).good().stdout;
    let mtus = on(machine, 0, "ip", &["-o", "link"]).good().stdout;
    // The kernel makes a new link-local address each time; carrier comes a moment later.
    let lasting = |word: &&str| word.starts_with("real") || (word.contains('/') && !word.starts_with("fe80"));
    let lines = shown.lines().filter(|line| line.starts_with("real"));
    let mut seen: Vec<String> =
        lines.map(|line| line.split_whitespace().filter(lasting).collect::<Vec<_>>().join(" ")).collect();
    seen.extend(mtus.lines().filter(|line| line.contains("real0@")).filter_map(|line| {
        line.split_once(" mtu ").map(|(_, rest)| rest.split(' ').next().unwrap_or_default().to_owned())
    }));
    seen.sort();
    seen.join(", ")
}

#[test]
fn comes_back_as_it_was_whatever_happens() {
    if crate::common::takes_too_long("comes_back_as_it_was_whatever_happens")
        || !can_make_labs("comes_back_as_it_was_whatever_happens", &["ip"])
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lent.toml");
    fs::write(&file, FILE).unwrap();
    let machine = fresh_netns().unwrap();
    for command in [
        "link add real0 type veth peer far0",
        "link add real1 type veth peer far1",
        "link set far0 up",
        "link set far1 up",
        "link set real0 mtu 1400 up",
        "link set real1 up",
        "addr add 192.0.2.9/24 dev real0",
        "addr add 198.51.100.9/32 dev real0",
    ] {
        on(&machine, 0, "ip", &command.split(' ').collect::<Vec<_>>()).good();
    }
    let before = devices(&machine);
    assert!(before.contains("192.0.2.9/24") && before.contains("1400") && before.contains("real1"), "{before}");
    let own = Lab::unbuilt();
    let up =
        |crash_at: usize| on(&machine, crash_at, "netobs", &["lab", "up", file.to_str().unwrap(), "--name", &own.name]);
    let down = |crash_at: usize| on(&machine, crash_at, "netobs", &["lab", "down", &own.name]);

    up(0).good();
    assert_eq!(status(&own)["state"], "up");
    assert!(!on(&machine, 0, "ip", &["-o", "link"]).good().stdout.contains("real"));
    let lent = own.exec("a", &["ip", "-o", "addr", "show", "eth7"]).good().stdout;
    assert!(lent.contains("10.9.0.2/24") && !lent.contains("192.0.2.9"), "{lent}");
    assert!(own.exec("a", &["ip", "route"]).good().stdout.contains("default via 10.9.0.1 dev eth7"));
    assert!(own.exec("b", &["ip", "-o", "link", "show", "real1"]).good().stdout.contains("master br0"));
    assert!(up(0).good().stdout.contains("already"));
    down(0).good();
    assert_eq!(devices(&machine), before);

    for whole_first in [false, true] {
        let (start, mut step) = (Instant::now(), 1);
        loop {
            let crashed = if whole_first {
                up(0).good();
                down(step)
            } else {
                up(step)
            };
            let crashed = crashed.status == -1;
            down(0).good();
            assert_eq!(devices(&machine), before, "step {step}");
            assert_eq!(own.remains(), [""; 0], "step {step}");
            if !crashed {
                break;
            }
            step += stride(start);
        }
    }
    fs::write(&file, FILE.replace("real0", "real9")).unwrap();
    up(0).bad(1, "no device `real9` that can be lent");
    assert_eq!(own.remains(), [""; 0]);
}
