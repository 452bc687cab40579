//! Three ways to break the lab, and what netobs must say of each.

use anyhow::{Result, bail};

use super::stage::Stage;

/// A fault: how to make it, who notices, and what the kernel's reason is.
pub struct Fault {
    /// What is about to happen, for a newcomer.
    pub story: &'static str,
    breaks: &'static [&'static str],
    fixes: &'static [&'static str],
    filter: &'static str,
    notices: &'static [&'static str],
    reason: &'static str,
    verdict: &'static str,
}

/// In the order they are played.
pub const FAULTS: [Fault; 3] = [
    Fault {
        story: "the host stops routing. The container still reaches its gateway, and nothing beyond.",
        breaks: &["sysctl -w net.ipv4.ip_forward=0"],
        fixes: &["sysctl -w net.ipv4.ip_forward=1"],
        filter: "icmp",
        notices: &["ping", "-c1", "-W1", "198.51.100.10"],
        reason: "IP_INADDRERRORS",
        verdict: "the host does not forward packets (net.ipv4.ip_forward=0)",
    },
    Fault {
        story: "a firewall forgets the containers.",
        breaks: &[
            "nft add table ip firewall",
            "nft add chain ip firewall forward { type filter hook forward priority 0 ; policy drop ; }",
        ],
        fixes: &["nft delete table ip firewall"],
        filter: "icmp",
        notices: &["ping", "-c1", "-W1", "198.51.100.10"],
        reason: "NETFILTER_DROP",
        verdict: "a netfilter rule or policy on the host dropped it",
    },
    Fault {
        story: "one end of a cable gets a smaller MTU. Small pings pass, full-sized ones vanish.",
        breaks: &["ip link set c1-h mtu 1400"],
        fixes: &["ip link set c1-h mtu 1500"],
        filter: "icmp",
        notices: &["ping", "-c1", "-W1", "-M", "do", "-s", "1472", "10.40.0.1"],
        reason: "NOT_SPECIFIED",
        verdict: "the other end of the cable takes no packet of that size (c1-h has MTU 1400)",
    },
];

impl Fault {
    /// Breaks, shows what netobs sees, holds the drop against what it must be, and fixes.
    pub fn play(&self, stage: &Stage) -> Result<()> {
        run(stage, self.breaks)?;
        stage.trace(self.filter, self.notices)?;
        let drops = stage.drops(self.filter, self.notices)?;
        run(stage, self.fixes)?;
        let Some(drop) = drops.iter().find(|drop| drop.reason.as_deref() == Some(self.reason)) else {
            bail!("netobs did not see the drop this fault causes ({}); it saw {drops:?}", self.reason);
        };
        println!(
            "\nVerdict: dropped in {} on {} by {} ({}): {}.",
            known(&drop.netns),
            known(&drop.device),
            known(&drop.function),
            self.reason,
            self.verdict
        );
        Ok(())
    }
}

fn run(stage: &Stage, commands: &[&str]) -> Result<()> {
    for command in commands {
        stage.on_host(&command.split(' ').collect::<Vec<_>>())?;
    }
    Ok(())
}

fn known(name: &Option<String>) -> &str {
    name.as_deref().unwrap_or("(unknown)")
}
