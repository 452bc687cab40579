//! What an nft rule does to a packet.

use serde_json::Value;

use super::Statement;
use crate::rules::judge::{Change, Judged, Situation, Verdict};
use crate::rules::rule::Deed;
use crate::rules::truth::Truth;

pub(in crate::rules) fn judge(statements: &[Statement], _situation: &Situation<'_>) -> Judged {
    let mut judged =
        Judged { matches: Truth::Yes, verdicts: vec![Verdict::Continue], changes: Vec::new(), undecided: Vec::new() };
    for statement in statements {
        let Some((kind, body)) = statement.as_object().and_then(|object| object.iter().next()) else { continue };
        match verdict(kind, body) {
            Some(verdict) => judged.verdicts = vec![verdict],
            None if kind == "counter" => {}
            // The header fields, marks and so on that a rule may set.
            None if kind == "mangle" => {
                judged.changes = vec![Change::Headers, Change::Mark(None), Change::CtMark(None)]
            }
            None => {
                judged.matches = Truth::CannotTell;
                judged.undecided.push(format!("`{kind}`"));
            }
        }
    }
    judged
}

fn verdict(kind: &str, body: &Value) -> Option<Verdict> {
    let target = || body.get("target").and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(match kind {
        "accept" => Verdict::Accept,
        "drop" => Verdict::End(Deed::Drop),
        "reject" => Verdict::End(Deed::Reject),
        "queue" => Verdict::End(Deed::Queue),
        "return" => Verdict::Return,
        "continue" => Verdict::Continue,
        "jump" => Verdict::Jump(target()),
        "goto" => Verdict::Goto(target()),
        _ => return None,
    })
}
