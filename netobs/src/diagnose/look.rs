//! What a person would type to look at a rung of the ladder.

use super::typed::in_netns;
use super::{Diagnosis, Rung, Step, Trail};

/// The command for this rung, where the diagnosed packet meets it: at the sender, at the first one that passes it on, or
/// at its end. `None` if the packet's way does not lead there.
pub fn to_look(rung: Rung, diagnosis: &Diagnosis) -> Option<String> {
    let question = &diagnosis.question;
    let mut passed = namespaces(&diagnosis.out);
    // What a person calls the sender may be no namespace's name.
    let sender = if passed.is_empty() { question.from.name.as_str() } else { passed.remove(0) };
    let (router, end) = (passed.first().copied(), passed.last().copied().unwrap_or(sender));
    // Where the fault is, if it is there.
    let at_fault = |step: &&Step| step.step == rung && step.ok == Some(false);
    let culprit = diagnosis.steps.iter().find(at_fault).and(diagnosis.culprit.as_ref());
    let culprit = culprit.and_then(|culprit| culprit.netns.as_deref());
    let to = question.to;
    let (netns, command) = match rung {
        Rung::Link => (sender, "ip -s link".to_owned()),
        Rung::Address => (sender, "ip address".to_owned()),
        Rung::Route => (sender, format!("ip route get {to}")),
        Rung::Gateway => (sender, "ip neighbour".to_owned()),
        Rung::Bridge => (router?, "bridge link".to_owned()),
        Rung::Forwarding => {
            let keys = if to.is_ipv4() {
                "net.ipv4.ip_forward net.ipv4.conf.all.rp_filter"
            } else {
                "net.ipv6.conf.all.forwarding"
            };
            (router?, format!("sysctl {keys}"))
        }
        Rung::Rules => (router?, "nft list ruleset".to_owned()),
        Rung::Nat => (router?, format!("conntrack -L -d {to}")),
        Rung::Conntrack => (router?, "conntrack -S".to_owned()),
        Rung::Mtu => (sender, format!("ping -c1 -M do -s 1472 {to}")),
        Rung::Listener => (end, "ss -lntup".to_owned()),
        Rung::WayBack => (end, "ip route".to_owned()),
        // Of its files, not its network.
        Rung::Endpoint => return Some(format!("cat /proc/{}/root/etc/resolv.conf", question.from.pid?)),
    };
    Some(in_netns(culprit.unwrap_or(netns), &command))
}

/// Each once, in the order of the way.
fn namespaces(trail: &Trail) -> Vec<&str> {
    let mut names: Vec<&str> = trail.places.iter().filter_map(|place| place.netns.as_deref()).collect();
    names.dedup();
    names
}
