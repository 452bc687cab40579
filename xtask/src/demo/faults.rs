//! Three ways to break the lab, and what netobs must say of each.

use anyhow::Result;

use super::agent::Agent;
use super::stage::Stage;

/// A fault: how to make it, who notices, and what is wrong then.
pub struct Fault {
    /// What is about to happen, for a newcomer.
    pub story: &'static str,
    breaks: &'static [&'static str],
    fixes: &'static [&'static str],
    filter: &'static str,
    /// What the container pings with, and whom.
    pings: &'static [&'static str],
    /// Whom the container asks in vain.
    to: &'static str,
    /// What netobs must call it.
    cause: &'static str,
}

/// In the order they are played.
pub const FAULTS: [Fault; 3] = [
    Fault {
        story: "the host stops routing. The container still reaches its gateway, and nothing beyond.",
        breaks: &["sysctl -w net.ipv4.ip_forward=0"],
        fixes: &["sysctl -w net.ipv4.ip_forward=1"],
        filter: "icmp",
        pings: &["-W1", "198.51.100.10"],
        to: "198.51.100.10",
        cause: "ip-forward-off",
    },
    Fault {
        story: "a firewall forgets the containers.",
        breaks: &[
            "nft add table ip firewall",
            "nft add chain ip firewall forward { type filter hook forward priority 0 ; policy drop ; }",
        ],
        fixes: &["nft delete table ip firewall"],
        filter: "icmp",
        pings: &["-W1", "198.51.100.10"],
        to: "198.51.100.10",
        cause: "forward-policy-drop",
    },
    Fault {
        story: "one end of a cable gets a smaller MTU. Small pings pass, full-sized ones vanish.",
        breaks: &["ip link set c1-h mtu 1400"],
        fixes: &["ip link set c1-h mtu 1500"],
        filter: "icmp",
        pings: &["-W1", "-M", "do", "-s", "1472", "10.40.0.1"],
        to: "10.40.0.1",
        cause: "veth-mtu-mismatch",
    },
];

impl Fault {
    /// Breaks, shows what netobs sees and what it says, holds that against what is wrong, and fixes.
    pub fn play(&self, stage: &Stage) -> Result<()> {
        run(stage, self.breaks)?;
        stage.trace(self.filter, &[&["ping", "-c1"], self.pings].concat())?;
        stage.diagnose(self.to, self.cause)?;
        run(stage, self.fixes)
    }

    /// Breaks again, for the agent to count what comes of it, and fixes.
    pub fn count(&self, stage: &Stage, agent: &Agent) -> Result<()> {
        let expected = stage.expected(self.cause)?;
        let before = agent.scrape()?;
        run(stage, self.breaks)?;
        stage.in_vain(&[&["ping", "-c3", "-i0.2"], self.pings].concat())?;
        agent.tell(&expected, &before)?;
        run(stage, self.fixes)
    }
}

fn run(stage: &Stage, commands: &[&str]) -> Result<()> {
    for command in commands {
        stage.on_host(&command.split(' ').collect::<Vec<_>>())?;
    }
    Ok(())
}
