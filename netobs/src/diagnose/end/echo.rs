//! Pings, which the kernel answers by itself.

use crate::diagnose::machine::sysctl_name;
use crate::diagnose::typed::in_netns;
use crate::diagnose::{Culprit, Finding, Force, Rung};

/// The finding about a namespace that answers no pings, because the setting below `/proc/sys/net` says so.
pub fn ignores_echo(netns: &str, key: &str) -> Finding {
    let name = sysctl_name(key);
    Finding {
        cause: "echo-ignored",
        rung: Rung::Listener,
        force: Force::Stops,
        sentence: format!("The ping reaches {netns}, which answers none: {name} is 1 there."),
        culprit: Culprit { netns: Some(netns.to_owned()), what: format!("{name}=1") },
        evidence: vec![format!("{name} is 1 in {netns}")],
        fix: vec![in_netns(netns, &format!("sysctl -w {name}=0"))],
        hints: vec!["connections may work all the same: ask for a port that is listened to".to_owned()],
    }
}
