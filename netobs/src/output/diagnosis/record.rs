//! A diagnosis for programs.

use serde::Serialize;

use crate::diagnose::{Culprit, Diagnosis, Finding, Place, Question, Sighting, Step, Target, Trail, Whom};

/// What was asked, and why it does not work or that it does.
#[derive(Clone, Debug, Serialize)]
pub struct DiagnosisRecord<'a> {
    /// `diagnosis`
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Who sends.
    pub from: &'a str,
    /// To whom: `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`.
    pub to: String,
    /// `icmp`, `tcp` or `udp`.
    pub proto: &'static str,
    /// Nothing is wrong.
    pub healthy: bool,
    /// What is wrong, in a word; null if nothing is.
    pub cause: Option<&'static str>,
    /// The whole of it.
    pub sentence: &'a str,
    /// Where the packet, or its answer, was well for the last time.
    pub last_good: Option<&'a Sighting>,
    /// Who is to blame.
    pub culprit: Option<&'a Culprit>,
    /// The rungs of the ladder; `ok` is null where one could not be looked at.
    pub steps: &'a [Step],
    /// What was read and seen.
    pub evidence: &'a [String],
    /// Commands that mend it.
    pub fix: &'a [String],
    /// What is worth knowing.
    pub hints: &'a [String],
    /// What else is wrong, in the order to mend it.
    pub also: &'a [Finding],
    /// The devices on the way there, and on the way back.
    pub path: PathRecord<'a>,
    /// Nanoseconds from sending to the answer; null without one.
    pub round_trip_ns: Option<u64>,
    /// Why no packet was watched; null if some were.
    pub unobserved: Option<&'a str>,
}

/// Both directions.
#[derive(Clone, Debug, Serialize)]
pub struct PathRecord<'a> {
    /// There.
    pub out: TrailRecord<'a>,
    /// Back.
    pub back: TrailRecord<'a>,
}

/// One direction.
#[derive(Clone, Debug, Serialize)]
pub struct TrailRecord<'a> {
    /// The devices in order.
    pub places: Vec<PlaceRecord<'a>>,
    /// Index of the first one that was not reached, as many as there are if it broke behind the last; null if it arrived,
    /// or that is not known.
    pub breaks_at: Option<usize>,
}

/// A device.
#[derive(Clone, Debug, Serialize)]
pub struct PlaceRecord<'a> {
    /// Its namespace.
    pub netns: Option<&'a str>,
    /// Its name.
    pub device: Option<&'a str>,
    /// Whether the packet was seen there; null if nobody looked.
    pub seen: Option<bool>,
    /// When, after it was first seen.
    pub offset_ns: Option<u64>,
}

impl<'a> DiagnosisRecord<'a> {
    /// Of this diagnosis.
    pub fn of(diagnosis: &'a Diagnosis) -> Self {
        Self {
            kind: "diagnosis",
            from: &diagnosis.question.from.name,
            to: target(&diagnosis.question).to_string(),
            proto: diagnosis.question.protocol.name(),
            healthy: diagnosis.healthy,
            cause: diagnosis.cause,
            sentence: &diagnosis.sentence,
            last_good: diagnosis.last_good.as_ref(),
            culprit: diagnosis.culprit.as_ref(),
            steps: &diagnosis.steps,
            evidence: &diagnosis.evidence,
            fix: &diagnosis.fix,
            hints: &diagnosis.hints,
            also: &diagnosis.also,
            path: PathRecord { out: trail(&diagnosis.out), back: trail(&diagnosis.back) },
            round_trip_ns: diagnosis.round_trip.and_then(|took| u64::try_from(took.as_nanos()).ok()),
            unobserved: diagnosis.unobserved.as_deref(),
        }
    }
}

/// To whom, as a person would write it.
pub(super) fn target(question: &Question) -> Target {
    Target { whom: Whom::Address(question.to), port: question.port }
}

fn trail(trail: &Trail) -> TrailRecord<'_> {
    TrailRecord { places: trail.places.iter().map(place).collect(), breaks_at: trail.breaks_at }
}

fn place(place: &Place) -> PlaceRecord<'_> {
    PlaceRecord {
        netns: place.netns.as_deref(),
        device: place.device.as_deref(),
        seen: place.seen,
        offset_ns: place.after.and_then(|after| u64::try_from(after.as_nanos()).ok()),
    }
}
