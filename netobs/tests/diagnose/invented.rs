//! Faults that no scenario is about: `unknown`, or right, and never something else.

use crate::common::{Lab, takes_too_long};
use crate::{ask, causes, watcher};

/// What is done to the default lab, who asks whom then, and what may be said besides `unknown`.
struct Invented {
    what: &'static str,
    /// The node, and the command.
    done: &'static [(&'static str, &'static str)],
    from: &'static str,
    to: &'static str,
    right: &'static [&'static str],
}

const FAULTS: [Invented; 8] = [
    Invented {
        what: "the host throws away what is for the world",
        done: &[("host", "ip route add blackhole 198.51.100.10/32")],
        from: "c1",
        to: "198.51.100.10",
        right: &["blackhole-route"],
    },
    Invented {
        what: "the container's own firewall",
        done: &[
            ("c1", "nft add table ip own"),
            ("c1", "nft add chain ip own out { type filter hook output priority 0 ; }"),
            ("c1", "nft add rule ip own out ip daddr 198.51.100.10 drop"),
        ],
        from: "c1",
        to: "198.51.100.10",
        right: &["output-rule-drop"],
    },
    Invented {
        what: "a bridge's firewall",
        done: &[
            ("host", "nft add table bridge own"),
            ("host", "nft add chain bridge own between { type filter hook forward priority 0 ; policy drop ; }"),
        ],
        from: "c1",
        to: "10.40.0.3",
        // No more is claimed than that netfilter dropped it, at none of the IP hooks.
        right: &["netfilter-drop"],
    },
    Invented {
        what: "ports that may not talk to each other",
        done: &[("host", "bridge link set dev c1-h isolated on"), ("host", "bridge link set dev c2-h isolated on")],
        from: "c1",
        to: "10.40.0.3",
        right: &["port-isolated"],
    },
    Invented {
        what: "a container that asks for nobody's link-layer address",
        done: &[("c1", "ip link set eth0 arp off")],
        from: "c1",
        to: "10.40.0.1",
        right: &["arp-off"],
    },
    Invented {
        what: "somebody who answers no pings",
        done: &[("inet", "sysctl -w net.ipv4.icmp_echo_ignore_all=1")],
        from: "c1",
        to: "198.51.100.10",
        right: &["echo-ignored"],
    },
    Invented {
        what: "packets that may make one step only",
        done: &[("c1", "sysctl -w net.ipv4.ip_default_ttl=1")],
        from: "c1",
        to: "198.51.100.10",
        // As the host says, which sends the error.
        right: &["refused-on-the-way"],
    },
    Invented {
        what: "a policy route into nothing",
        done: &[("host", "ip rule add from 10.40.0.2 priority 100 prohibit")],
        from: "c1",
        to: "198.51.100.10",
        right: &["refused-on-the-way"],
    },
];

#[test]
fn what_no_scenario_is_about_is_never_called_by_a_wrong_name() {
    let test = "what_no_scenario_is_about_is_never_called_by_a_wrong_name";
    if takes_too_long(test) {
        return;
    }
    let Some(mut watcher) = watcher(test) else { return };
    let mut wrong = Vec::new();
    for fault in &FAULTS {
        let lab = Lab::up();
        for (node, command) in fault.done {
            lab.exec(node, &command.split(' ').collect::<Vec<_>>()).good();
        }
        let diagnosis = ask(&mut watcher, &lab, fault.from, fault.to);
        let named = causes(&diagnosis);
        println!("{}: {named:?}: {}", fault.what, diagnosis.sentence);
        let right = |cause: &&str| *cause == "unknown" || fault.right.contains(cause);
        if diagnosis.healthy || named.is_empty() || !named.iter().all(right) {
            wrong.push(format!("{}: {named:?}\n{diagnosis:#?}", fault.what));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
