//! What a drop shows by itself, a file for each kind of state behind it.

pub(super) mod end;
pub(super) mod filter;
pub(super) mod link;
pub(super) mod route;
pub(super) mod size;

use std::net::SocketAddr;

use super::super::probe::{Attempt, Observation, Packet, Role};
use super::super::{Culprit, Finding, Force, Question, Rung};
use crate::diagnose::typed::in_netns;
use crate::output::DropRecord;

/// A packet that was dropped.
pub(super) struct Seen<'a> {
    pub(super) packet: &'a Packet,
    pub(super) drop: &'a DropRecord,
    pub(super) observation: &'a Observation,
}

impl<'a> Seen<'a> {
    /// `None` if it was not, or so that it means nothing.
    pub(super) fn new(packet: &'a Packet, observation: &'a Observation) -> Option<Self> {
        let drop = packet.record.drop.as_ref().filter(|drop| drop.fault != Some(false))?;
        Some(Self { packet, drop, observation })
    }

    /// The attempt that the packet belongs to.
    pub(super) fn attempt(&self) -> Option<&'a Attempt> {
        self.observation.attempts.iter().find(|attempt| attempt.flow == Some(self.packet.flow))
    }

    /// What such a drop means to the asked packet: that a large one is lost does not stop it.
    pub(super) fn force(&self) -> Force {
        if self.attempt().is_some_and(|attempt| attempt.is_sized) { Force::Harms } else { Force::Stops }
    }

    /// `the packet`
    pub(super) fn whose(&self) -> &'static str {
        match self.packet.role {
            Role::Asked => "the packet",
            Role::Answer => "the answer",
            Role::Error => "the ICMP error about it",
            Role::Neighbour => "the question for the next hop's link-layer address",
        }
    }

    /// The namespace, to be named in a sentence.
    pub(super) fn netns(&self) -> &'a str {
        self.drop.netns.as_deref().unwrap_or("a namespace that is gone")
    }

    /// The device, to be named in a sentence.
    pub(super) fn device(&self) -> &'a str {
        self.drop.device.as_deref().unwrap_or("no device")
    }

    /// A command as it is typed for the drop's namespace; nothing if that has no name.
    pub(super) fn typed(&self, commands: &[String]) -> Vec<String> {
        let Some(netns) = &self.drop.netns else { return Vec::new() };
        commands.iter().map(|command| in_netns(netns, command)).collect()
    }

    /// A hint: what shows more of it.
    pub(super) fn to_see(&self, command: String) -> Vec<String> {
        self.typed(&[command]).into_iter().map(|line| format!("see {line}")).collect()
    }

    /// `the packet was dropped in lab-host on br0: NETFILTER_DROP in nf_hook_slow`
    pub(super) fn line(&self) -> String {
        let reason = self.drop.reason.as_deref().unwrap_or("a reason without a name");
        let function = self.drop.function.as_deref().unwrap_or("an unknown function");
        format!("{} was dropped in {} on {}: {reason} in {function}", self.whose(), self.netns(), self.device())
    }

    /// A finding about the namespace of the drop, with what was seen and read.
    pub(super) fn finding(&self, cause: &'static str, rung: Rung, what: String, sentence: String) -> Finding {
        let mut evidence = vec![self.line()];
        evidence.extend(self.drop.facts.iter().cloned());
        Finding {
            cause,
            rung,
            force: self.force(),
            sentence,
            culprit: Culprit { netns: self.drop.netns.clone(), what },
            evidence,
            fix: Vec::new(),
            hints: Vec::new(),
        }
    }
}

/// `203.0.113.2:8080`, or the address alone.
pub(super) fn quoted_to(question: &Question) -> String {
    question.port.map_or_else(|| question.to.to_string(), |port| SocketAddr::new(question.to, port).to_string())
}
