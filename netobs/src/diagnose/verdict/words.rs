//! Sentences about the whole.

use super::super::probe::{Attempt, Ending, Observation, Packet, Role};
use super::super::{Culprit, Finding, Force, Protocol, Question, Rung, Sighting, Step};
use super::drops::Unexplained;
use super::shown::quoted_to;

/// `an echo request of 84 bytes: no answer within 0.5 s`
pub(super) fn attempt(attempt: &Attempt) -> String {
    let what = attempt.what();
    let took = attempt.took.as_secs_f64();
    match &attempt.ending {
        Ending::Answered => format!("{what}: answered after {:.3} ms", took * 1000.0),
        Ending::Silence => format!("{what}: no answer within {took:.1} s"),
        Ending::Error { errno, by: None, .. } => format!("{what}: {}", errno.desc()),
        Ending::Error { errno, by: Some(by), mtu: Some(mtu) } => {
            format!("{what}: {by} answers: {}, no more than {mtu} bytes", errno.desc())
        }
        Ending::Error { errno, by: Some(by), mtu: None } => format!("{what}: {by} answers: {}", errno.desc()),
        Ending::NotSent { errno } => format!("{what}: could not be sent: {}", errno.desc()),
    }
}

/// A finding that an answer has proven wrong.
pub(super) fn refuted(finding: &Finding) -> String {
    format!("not so, for the answer came: {}", finding.sentence)
}

/// A finding that may be one once the others are mended.
pub(super) fn doubtful(finding: &Finding) -> String {
    format!("to be looked at again once that is mended: {}", finding.sentence)
}

/// Nothing is wrong.
pub(super) fn healthy(question: &Question, observation: &Observation) -> String {
    let (from, to) = (&question.from.name, quoted_to(question));
    let Some(took) = observation.round_trip() else {
        let taker = observation.packets.iter().filter(|packet| packet.role == Role::Asked).find_map(taker);
        let taker = taker.unwrap_or_else(|| "a socket there".to_owned());
        return format!(
            "What {from} sends reaches {to} and is taken by {taker}, which sent no answer: that is its own business."
        );
    };
    let milliseconds = took.as_secs_f64() * 1000.0;
    match question.protocol {
        Protocol::Icmp | Protocol::Udp => {
            format!("{from} reaches {to}, and the answer comes back in {milliseconds:.2} ms.")
        }
        Protocol::Tcp => format!("{from} connects to {to} in {milliseconds:.2} ms."),
    }
}

fn taker(packet: &Packet) -> Option<String> {
    let socket = packet.record.end.as_ref()?.socket.as_ref()?;
    let (process, pid) = (socket.process.as_ref()?, socket.pid?);
    Some(format!("{process} (process {pid})"))
}

/// `ruled out: route, link, mtu`: the rungs on which all is well.
pub(super) fn ruled_out(steps: &[Step]) -> Option<String> {
    let mut well: Vec<_> = steps.iter().filter(|step| step.ok == Some(true)).map(|step| step.step).collect();
    well.retain(|rung| steps.iter().all(|step| step.step != *rung || step.ok == Some(true)));
    well.sort_unstable();
    well.dedup();
    let names: Vec<_> = well.into_iter().map(Rung::name).collect();
    (!names.is_empty()).then(|| format!("ruled out: {}", names.join(", ")))
}

/// What cannot be explained.
pub(super) fn unknown(
    question: &Question,
    observation: &Observation,
    unexplained: &[Unexplained],
    last: Option<&Sighting>,
) -> String {
    let (from, to) = (&question.from.name, quoted_to(question));
    let gone =
        observation.packets.iter().rev().any(|packet| packet.role == Role::Asked && packet.record.outcome == "left");
    let part = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    let rest = match last {
        _ if let Some(drop) = unexplained.first() => {
            format!("{}, and the state of the machine does not say why", drop.line)
        }
        _ if observation.unobserved.is_some() => {
            "nothing could be watched on the way, and the state of the machine does not say why".to_owned()
        }
        None => "it was seen nowhere, and the state of the machine does not say why".to_owned(),
        Some(last) if gone => format!(
            "the packet left this machine by {} in {}, and what becomes of it out there cannot be seen from here",
            part(&last.device),
            part(&last.netns)
        ),
        Some(last) => format!(
            "the last that was seen of it was at {} on {} in {}, and neither that nor the state of the machine says why",
            part(&last.hook),
            part(&last.device),
            part(&last.netns)
        ),
    };
    format!("{from} gets no answer from {to}: {rest}.")
}

/// Small packets are answered and large ones are not, and nothing says why.
pub(super) fn lost_when_large(question: &Question, observation: &Observation, findings: &[Finding]) -> Option<Finding> {
    if findings.iter().any(|finding| finding.rung == Rung::Mtu) {
        return None;
    }
    let large = observation.attempts.iter().find(|attempt| attempt.is_sized && attempt.ending == Ending::Silence)?;
    let length = large.length?;
    let to = quoted_to(question);
    Some(Finding {
        cause: "large-packets-lost",
        rung: Rung::Mtu,
        force: Force::Harms,
        sentence: format!(
            "{to} answers small packets, and none of {length} bytes: something on the way does not let them through."
        ),
        culprit: Culprit { netns: None, what: format!("packets of {length} bytes get no answer") },
        evidence: Vec::new(),
        fix: Vec::new(),
        hints: vec![
            "some networks throw large pings away on purpose; a transfer that stalls is the better sign".to_owned(),
        ],
    })
}
