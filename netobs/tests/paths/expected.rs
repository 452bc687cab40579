//! The lists in `expected`, and how a trace is held against them.
//!
//! A line is a node and a hook. `a|b`: one of them, whichever this kernel has. `?` before the hook: the same code is
//! passed, but whether a hook is there depends on what `#` behind it says. `a(kind)`: nothing is registered there, so that
//! only a program of that kind, which is registered there itself, sees the packet.

use std::collections::BTreeMap;

use serde_json::Value;

use super::common::{netobs, run};

/// The hooks that this kernel has, and the kinds of programs that serve them.
pub struct Available(BTreeMap<String, String>);

impl Available {
    /// What `netobs check` says.
    pub fn here() -> Self {
        let check = run(netobs(), &["check", "--format", "json"]).good();
        let record: Value = serde_json::from_str(&check.stdout).unwrap();
        let probes = record.get("probes").and_then(Value::as_array).expect("probes");
        let text = |probe: &Value, key: &str| probe.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let available = probes.iter().filter(|probe| probe.get("available") == Some(&Value::Bool(true)));
        Self(available.map(|probe| (text(probe, "name"), text(probe, "kind"))).collect())
    }

    fn has(&self, line: &Line<'_>, hook: &str) -> bool {
        self.0.get(hook).is_some_and(|kind| line.kind.is_none_or(|wanted| wanted == kind))
    }
}

struct Line<'t> {
    node: &'t str,
    hooks: Vec<&'t str>,
    kind: Option<&'t str>,
    is_certain: bool,
}

/// One path.
pub struct Expected<'t>(Vec<Line<'t>>);

impl<'t> Expected<'t> {
    pub fn of(text: &'t str) -> Self {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        let lines = lines.filter(|line| !line.trim().is_empty()).map(|line| {
            let (node, hooks) = line.trim().split_once(char::is_whitespace).expect(line);
            let certain = hooks.trim().trim_start_matches('?');
            let (names, kind) = certain.split_once('(').map_or((certain, None), |(names, kind)| (names, Some(kind)));
            let kind = kind.map(|kind| kind.trim_end_matches(')'));
            Line { node, hooks: names.split('|').collect(), kind, is_certain: certain == hooks.trim() }
        });
        Self(lines.collect())
    }

    /// Fails the test unless the path is the one that was seen, as far as this kernel has hooks.
    #[track_caller]
    pub fn assert_is(&self, seen: &[(String, String)], available: &Available) {
        let mut rest = seen.iter().peekable();
        for line in &self.0 {
            let is_here = |hop: &&(String, String)| hop.0 == line.node && line.hooks.contains(&hop.1.as_str());
            if rest.next_if(|hop| is_here(hop)).is_some() {
                continue;
            }
            let can_be_seen = line.hooks.iter().any(|hook| available.has(line, hook));
            assert!(
                !line.is_certain || !can_be_seen,
                "expected {} {}, next was {:?}; seen:\n{}",
                line.node,
                line.hooks.join("|"),
                rest.peek(),
                listed(seen)
            );
        }
        assert!(rest.peek().is_none(), "not expected: {:?}; seen:\n{}", rest.peek(), listed(seen));
    }
}

fn listed(seen: &[(String, String)]) -> String {
    seen.iter().map(|(node, hook)| format!("{node} {hook}\n")).collect()
}
