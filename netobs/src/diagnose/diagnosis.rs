//! The answer: what a person is told, and what JSON is made of.

use std::time::Duration;

use serde::Serialize;

use super::{Culprit, Finding, Question, Rung};

/// One packet at one place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Sighting {
    /// Name of the namespace.
    pub netns: Option<String>,
    /// The device.
    pub device: Option<String>,
    /// The hook, or the kernel function, it was seen at.
    pub hook: Option<String>,
}

/// A rung that was climbed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub step: Rung,
    /// Whether all is well there. `None` if it could not be looked at.
    pub ok: Option<bool>,
    /// What was looked at and found.
    pub detail: String,
}

/// A device on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Name of the namespace.
    pub netns: Option<String>,
    /// The device.
    pub device: Option<String>,
    /// Whether the packet was seen there; `None` where nothing was observed.
    pub seen: Option<bool>,
    /// How long after it was first seen.
    pub after: Option<Duration>,
}

/// The devices of one direction, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trail {
    /// Those that the packet passed, then those it would have.
    pub places: Vec<Place>,
    /// The packet did not get to the place with this index, nor beyond: 0 if it never left its sender, as many as there
    /// are places if it died behind the last. `None` if it arrived, or that is not known.
    pub breaks_at: Option<usize>,
}

/// What was found out. Its texts hold names as strangers chose them: they are escaped where they are printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What was asked.
    pub question: Question,
    /// Nothing is wrong.
    pub healthy: bool,
    /// What is wrong, in a word: `unknown` where that could not be found out; `None` if nothing is.
    pub cause: Option<&'static str>,
    /// The whole of it in a sentence, as a colleague would say it.
    pub sentence: String,
    /// Where the packet, or its answer, was well for the last time.
    pub last_good: Option<Sighting>,
    /// Who is to blame.
    pub culprit: Option<Culprit>,
    /// The rungs, in order.
    pub steps: Vec<Step>,
    /// What was read and seen, one fact a line.
    pub evidence: Vec<String>,
    /// The commands that mend it, in order.
    pub fix: Vec<String>,
    /// What is commonly believed here and wrong.
    pub hints: Vec<String>,
    /// What else is wrong, in the order in which to mend it once the first is mended.
    pub also: Vec<Finding>,
    /// The way there.
    pub out: Trail,
    /// The way back.
    pub back: Trail,
    /// How long the answer took.
    pub round_trip: Option<Duration>,
    /// Why no packet was watched, if none was.
    pub unobserved: Option<String>,
}

impl Diagnosis {
    /// The cause of what could not be found out.
    pub const UNKNOWN: &'static str = "unknown";
}
