//! That the rules on the way let the packet pass, and what NAT makes of it: for the ladder.

use std::net::{IpAddr, SocketAddr};

use super::Along;
use crate::diagnose::Rung;
use crate::diagnose::machine::Machine;
use crate::diagnose::way::{Stage, Way};

/// Says which namespaces' rules were asked, and how addresses are rewritten in them.
pub(super) fn passed(machine: &mut Machine, way: &Way, along: &mut Along) {
    if !way.findings.iter().any(|finding| finding.rung == Rung::Rules) {
        let mut names: Vec<&str> = Vec::new();
        for stage in way.out.iter().chain(&way.back) {
            if machine.rules(stage.netns).is_some_and(|rules| rules.problems().is_empty())
                && !names.contains(&stage.name.as_str())
            {
                names.push(&stage.name);
            }
        }
        if !names.is_empty() {
            along.fine(Rung::Rules, format!("no rule drops the packet or its answer in {}", names.join(", ")));
        }
    }
    let mut seen = Vec::new();
    for stage in way.out.iter().chain(&way.back) {
        if seen.contains(&stage.netns) {
            continue;
        }
        seen.push(stage.netns);
        let Some(rules) = machine.rules(stage.netns).filter(|rules| !rules.others().is_empty()) else { continue };
        along.unknown.push(format!("rules of {} that are not about IP: {}", stage.name, rules.others().join(", ")));
    }
    for stage in &way.out {
        for line in rewritten(stage) {
            along.fine(Rung::Nat, line);
        }
    }
}

/// `lab-host rewrites the source, 10.40.0.2, to 203.0.113.2`
fn rewritten(stage: &Stage) -> Vec<String> {
    let (came, left) = (stage.tuple_in, stage.tuple_out);
    let mut lines = Vec::new();
    let ends = [
        ("source", (came.src, came.sport), (left.src, left.sport)),
        ("destination", (came.dst, came.dport), (left.dst, left.dport)),
    ];
    for (which, before, after) in ends {
        if before != after {
            lines.push(format!("{} rewrites the {which}, {}, to {}", stage.name, shown(before), shown(after)));
        }
    }
    lines
}

fn shown(end: (Option<IpAddr>, Option<u16>)) -> String {
    match end {
        (Some(address), Some(port)) => SocketAddr::new(address, port).to_string(),
        (Some(address), None) => address.to_string(),
        (None, _) => "an address that cannot be told".to_owned(),
    }
}
