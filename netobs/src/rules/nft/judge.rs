//! What an nft rule does to a packet.

use std::borrow::Cow;

use serde_json::Value;

use super::Statement;
use super::compare::{compare, equal};
use super::datum::{Datum, Loaded};
use super::load::load;
use super::translate::translation;
use crate::rules::judge::{Change, Judged, Situation, Verdict};
use crate::rules::packet::Packet;
use crate::rules::rule::Deed;
use crate::rules::table::Table;
use crate::rules::truth::Truth;

/// Statements after which the next one comes, whatever they do.
const PASSING: [&str; 10] =
    ["comment", "counter", "ct expectation", "ct helper", "ct timeout", "dup", "flow", "last", "log", "secmark"];
/// Statements that may stop the rule, depending on what went before.
const DEPENDING: [&str; 7] = ["ct count", "limit", "map", "meter", "quota", "reset", "set"];

/// A rule being read from left to right.
struct Reading<'a> {
    situation: &'a Situation<'a>,
    packet: Cow<'a, Packet>,
    ct_mark: Option<u32>,
    judged: Judged,
}

pub(in crate::rules) fn judge(statements: &[Statement], situation: &Situation<'_>) -> Judged {
    let mut reading = Reading {
        situation,
        packet: Cow::Borrowed(situation.packet),
        ct_mark: situation.ct_mark,
        judged: Judged {
            matches: Truth::Yes,
            verdicts: vec![Verdict::Continue],
            changes: Vec::new(),
            undecided: Vec::new(),
        },
    };
    for statement in statements {
        if !reading.goes_on(statement) {
            // What it changed before it stopped stays changed.
            reading.judged.verdicts = vec![Verdict::Continue];
            let nothing = reading.judged.changes.is_empty();
            return if nothing { Judged::no() } else { reading.judged };
        }
    }
    reading.judged
}

impl Reading<'_> {
    /// Does a statement; `false` if the rule surely stops here without a match.
    fn goes_on(&mut self, statement: &Statement) -> bool {
        let Some((kind, body)) = statement.as_object().and_then(|object| object.iter().next()) else {
            // Newer statements that this nft has no JSON for come as text.
            return self.cannot_tell(statement.to_string(), true);
        };
        match kind.as_str() {
            "match" => self.does_match(body),
            "vmap" => self.looks_up(body),
            "mangle" => self.changes(body),
            "notrack" => {
                self.judged.changes.push(Change::Untracked);
                true
            }
            passing if PASSING.contains(&passing) => true,
            depending if DEPENDING.contains(&depending) => self.cannot_tell(kind.clone(), false),
            _ => match verdict(kind, body) {
                Some(verdict) => {
                    self.judged.verdicts = vec![verdict];
                    true
                }
                None => self.cannot_tell(kind.clone(), true),
            },
        }
    }

    fn now(&self) -> Situation<'_> {
        Situation {
            packet: &self.packet,
            ct_mark: self.ct_mark,
            table: self.situation.table,
            places: self.situation.places,
        }
    }

    fn cannot_tell(&mut self, what: String, anything: bool) -> bool {
        self.judged.matches = Truth::CannotTell;
        self.judged.undecided.push(format!("`{what}`"));
        if anything {
            self.judged.verdicts = vec![Verdict::Anything];
        }
        true
    }

    fn does_match(&mut self, body: &Value) -> bool {
        let field = |name| body.get(name).unwrap_or(&Value::Null);
        let left = load(field("left"), &self.now());
        let operator = field("op").as_str().unwrap_or_default();
        match compare(&left, operator, field("right"), self.situation.table) {
            None | Some(Truth::No) => false,
            Some(Truth::Yes) => true,
            Some(Truth::CannotTell) => self.cannot_tell(shown(field("left")), false),
        }
    }

    fn looks_up(&mut self, body: &Value) -> bool {
        let key = body.get("key").unwrap_or(&Value::Null);
        let loaded = load(key, &self.now());
        let found = elements(body.get("data").unwrap_or(&Value::Null), self.situation.table)
            .and_then(|elements| verdicts(&loaded, elements, self.situation.table));
        match found {
            None => self.cannot_tell(shown(key), true),
            Some((Truth::No, _)) => false,
            Some((Truth::Yes, verdicts)) if verdicts.len() == 1 => {
                self.judged.verdicts = verdicts;
                true
            }
            Some((truth, verdicts)) => {
                let before = self.judged.matches;
                self.cannot_tell(shown(key), false);
                // One of several surely matches; it is not known which.
                self.judged.matches = truth.and(before);
                self.judged.verdicts = verdicts;
                true
            }
        }
    }

    fn changes(&mut self, body: &Value) -> bool {
        let key = body.get("key").unwrap_or(&Value::Null);
        let of = |kind: &str, field: &str| key.get(kind)?.get(field)?.as_str();
        let value = || match load(body.get("value").unwrap_or(&Value::Null), &self.now()) {
            Loaded::Known(Datum::Number(value)) => u32::try_from(value).ok(),
            _ => None,
        };
        // A statement is only surely done if what stands before it surely held.
        let value = value().filter(|_| self.judged.matches == Truth::Yes);
        let change = if of("meta", "key") == Some("mark") {
            self.packet.to_mut().mark = value;
            Change::Mark(value)
        } else if of("ct", "key") == Some("mark") {
            self.ct_mark = value;
            Change::CtMark(value)
        } else if matches!(of("payload", "field"), Some("saddr" | "daddr" | "sport" | "dport" | "flags" | "type")) {
            Change::Headers
        } else {
            return true;
        };
        self.judged.changes.push(change);
        if change == Change::Headers {
            return self.cannot_tell("a header that the rule itself has rewritten".to_owned(), false);
        }
        true
    }
}

fn verdict(kind: &str, body: &Value) -> Option<Verdict> {
    let target = || body.get("target").and_then(Value::as_str).map(str::to_owned);
    Some(match kind {
        "accept" => Verdict::Accept,
        "drop" => Verdict::End(Deed::Drop),
        "reject" => Verdict::End(Deed::Reject),
        "queue" => Verdict::End(Deed::Queue),
        "return" => Verdict::Return,
        "continue" => Verdict::Continue,
        "jump" => Verdict::Jump(target()?),
        "goto" => Verdict::Goto(target()?),
        "dnat" => Verdict::Translate(translation(Deed::Dnat, body)),
        "snat" => Verdict::Translate(translation(Deed::Snat, body)),
        "masquerade" => Verdict::Translate(translation(Deed::Masquerade, body)),
        "redirect" => Verdict::Translate(translation(Deed::Redirect, body)),
        _ => return None,
    })
}

/// The elements of a map; `None` if they are not known.
fn elements<'a>(data: &'a Value, table: &'a Table) -> Option<&'a [Value]> {
    match data.as_str().and_then(|text| text.strip_prefix('@')) {
        Some(name) => table.sets.get(name).filter(|set| !set.filled_by_rules).map(|set| set.elements.as_slice()),
        None => data.get("set").and_then(Value::as_array).map(Vec::as_slice),
    }
}

/// Which verdicts a map may give. The catch-all `*` counts only where nothing else does.
fn verdicts(key: &Loaded, elements: &[Value], table: &Table) -> Option<(Truth, Vec<Verdict>)> {
    if *key == Loaded::Absent {
        return Some((Truth::No, Vec::new()));
    }
    let (mut truth, mut found) = (Truth::No, Vec::new());
    let is_rest = |element: &&Value| {
        element.get(0).is_some_and(|key| key == "*" || key.pointer("/elem/val") == Some(&"*".into()))
    };
    let (rest, named): (Vec<_>, Vec<_>) = elements.iter().partition(is_rest);
    for element in named.into_iter().chain(rest) {
        let [wanted, given] = element.as_array()?.as_slice() else { return None };
        let this = equal(key, wanted, table);
        if this == Truth::No {
            continue;
        }
        let (kind, body) = given.as_object()?.iter().next()?;
        let verdict = verdict(kind, body)?;
        if !found.contains(&verdict) {
            found.push(verdict);
        }
        truth = this;
        if this == Truth::Yes {
            break;
        }
    }
    Some((truth, found))
}

/// An expression, in few words.
fn shown(expression: &Value) -> String {
    let Some((kind, body)) = expression.as_object().and_then(|object| object.iter().next()) else {
        return expression.to_string();
    };
    let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default();
    match kind.as_str() {
        "payload" => format!("{} {}", text("protocol"), text("field")).trim().to_owned(),
        "meta" | "ct" => format!("{kind} {}", text("key")),
        "concat" => body.as_array().into_iter().flatten().map(shown).collect::<Vec<_>>().join(" . "),
        "&" => body.get(0).map_or_else(|| kind.clone(), shown),
        _ => kind.clone(),
    }
}
