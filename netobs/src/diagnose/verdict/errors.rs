//! What the sender of the packet was told, where nothing else explains it.

use nix::errno::Errno;

use super::super::probe::{Ending, Observation};
use super::super::{Culprit, Finding, Force, Question, Rung};
use super::shown::quoted_to;

/// The first attempt's error as a finding.
pub(super) fn finding(question: &Question, netns: &str, observation: &Observation) -> Option<Finding> {
    let attempt = observation.attempts.first()?;
    let to = quoted_to(question);
    let (errno, by) = match &attempt.ending {
        Ending::NotSent { errno } => (*errno, None),
        Ending::Error { errno: Errno::ECONNREFUSED, by, .. } => (Errno::ECONNREFUSED, *by),
        // Our own kernel signs what it tells itself with the sender's address.
        Ending::Error { errno, by, .. } => (*errno, by.filter(|by| Some(*by) != observation.source)),
        Ending::Answered | Ending::Silence => return None,
    };
    let is_sent = matches!(attempt.ending, Ending::Error { .. });
    let who = by.map_or_else(|| "somebody on the way".to_owned(), |by| by.to_string());
    let mut hints = Vec::new();
    let (cause, rung, what, sentence) = match (errno, is_sent, by) {
        (Errno::ENETUNREACH, false, _) => (
            "no-route",
            Rung::Route,
            format!("no route to {}", question.to),
            format!("{netns} has no route to {}: the packet is not even sent.", question.to),
        ),
        (Errno::EHOSTUNREACH, false, _) => (
            "unreachable-route",
            Rung::Route,
            format!("an unreachable route to {}", question.to),
            format!("{netns} has a route that calls {} unreachable: the packet is not even sent.", question.to),
        ),
        (Errno::EADDRNOTAVAIL, false, _) => (
            "no-source-address",
            Rung::Address,
            "no address to send from".to_owned(),
            format!("{netns} has no address from which it could send to {}.", question.to),
        ),
        // Who is asked for a closed port signs with the address that was asked (`__icmp_send`).
        (Errno::ECONNREFUSED, true, Some(by)) if by != question.to => {
            hints.push("a firewall's rule that rejects answers so in its own name; a closed port does not".to_owned());
            (
                "refused-on-the-way",
                Rung::Rules,
                format!("{by} sends it back"),
                format!("{by} refuses the packet to {to}, which gets no further."),
            )
        }
        (Errno::ECONNREFUSED, true, _) => (
            "connection-refused",
            Rung::Listener,
            format!("{to} refuses"),
            format!("{to} can be reached, and refuses: nobody listens there, or a firewall before it says so."),
        ),
        (Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::EACCES, true, Some(_)) => (
            "refused-on-the-way",
            Rung::Route,
            format!("{who} sends it back"),
            format!("{who} takes the packet to {to} no further and says so: {}.", errno.desc()),
        ),
        _ => return None,
    };
    let is_here = !is_sent;
    Some(Finding {
        cause,
        rung,
        force: Force::Stops,
        sentence,
        culprit: Culprit { netns: is_here.then(|| netns.to_owned()), what },
        evidence: Vec::new(),
        fix: Vec::new(),
        hints,
    })
}

/// What such an error is the proof of.
pub(super) fn proves(errno: Errno) -> &'static [&'static str] {
    match errno {
        Errno::ENETUNREACH => {
            &["no-default-route", "container-veth-down", "address-without-prefix", "host-no-route", "*-route"]
        }
        Errno::EHOSTUNREACH => &["unreachable-route", "wrong-gateway"],
        Errno::EACCES => &["prohibit-route"],
        Errno::EPERM => &["output-policy-drop", "output-rule-drop", "conntrack-full", "snat-port-clash"],
        Errno::ECONNREFUSED => {
            &["no-listener", "listener-on-loopback", "listener-elsewhere", "port-not-published", "dns-unreachable"]
        }
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use nix::errno::Errno;

    use super::finding;
    use crate::diagnose::probe::{Attempt, Ending, Observation};
    use crate::diagnose::{Endpoint, Protocol, Question};
    use crate::netns::NetnsInode;

    fn refused(by: &str) -> Observation {
        let by = Some(by.parse().unwrap());
        Observation {
            attempts: vec![Attempt {
                protocol: Protocol::Udp,
                length: Some(56),
                is_sized: false,
                flow: Some(0),
                ending: Ending::Error { errno: Errno::ECONNREFUSED, by, mtu: None },
                took: Duration::from_millis(1),
            }],
            source: Some(IpAddr::from([10, 40, 0, 2])),
            ..Observation::default()
        }
    }

    #[test]
    fn who_refuses_in_his_own_name_is_not_whom_was_asked() {
        let from = Endpoint { name: "c1".into(), netns: NetnsInode(1), pid: None };
        let question = Question { from, to: [198, 51, 100, 10].into(), port: Some(53), protocol: Protocol::Udp };
        let cause = |by: &str| finding(&question, "c1", &refused(by)).unwrap();
        assert_eq!(cause("198.51.100.10").cause, "connection-refused");
        let by_router = cause("10.40.0.1");
        assert_eq!(by_router.cause, "refused-on-the-way");
        assert!(by_router.sentence.starts_with("10.40.0.1 refuses"), "{}", by_router.sentence);
        assert_eq!(cause("10.40.0.2").cause, "refused-on-the-way");
    }
}
