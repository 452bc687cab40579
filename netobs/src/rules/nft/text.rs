//! What only nft's text has: each rule as a person would type it, and which tables sleep.

use std::collections::{HashMap, HashSet};

use crate::rules::rule::Backend;
use crate::rules::table::Table;

/// What was read of the text, by table (`inet filter`).
#[derive(Default)]
struct Texts {
    /// Text by handle. A handle belongs to one object of a table and is not given out again.
    rules: HashMap<String, HashMap<u64, String>>,
    dormant: HashSet<String>,
}

/// Gives the rules of nft's tables the text that `nft -a -s list ruleset` printed, and takes out the tables that are
/// `dormant`, of which the JSON of nft 1.0.6 does not tell.
pub(in crate::rules) fn complete(tables: &mut Vec<Table>, text: &str) {
    let texts = read(text);
    let title = |table: &Table| format!("{} {}", table.family.name(), table.name);
    tables.retain(|table| !texts.dormant.contains(&title(table)));
    for table in tables.iter_mut() {
        let Some(of_table) = texts.rules.get(&title(table)) else { continue };
        let entries = table.chains.values_mut().flat_map(|chain| &mut chain.rules);
        for entry in entries.filter(|entry| entry.backend == Backend::Nft) {
            if let Some(text) = entry.handle.and_then(|handle| of_table.get(&handle)) {
                entry.text.clone_from(text);
            }
        }
    }
}

fn read(text: &str) -> Texts {
    let mut texts = Texts::default();
    // Whether the last line opened a table; its flags come next.
    let mut at_table = false;
    let mut table = String::new();
    let mut rule = String::new();
    for line in text.lines() {
        let line = line.trim();
        if at_table && line.starts_with("flags ") && line.contains("dormant") {
            texts.dormant.insert(table.clone());
        }
        at_table = line.starts_with("table ") && rule.is_empty();
        let (said, handle) = match line.rsplit_once(" # handle ") {
            Some((said, handle)) => (said, handle.parse::<u64>().ok()),
            None => (line, None),
        };
        match (said, handle) {
            // `table ip x {`, `chain y {`
            (opening, _) if opening.ends_with(" {") && (handle.is_some() || opening.starts_with("table ")) => {
                rule.clear();
                if let Some(name) = opening.strip_prefix("table ") {
                    table = name.trim_end_matches(" {").to_owned();
                }
            }
            (end, Some(handle)) => {
                rule.push_str(end);
                texts.rules.entry(table.clone()).or_default().insert(handle, std::mem::take(&mut rule));
            }
            // The lines that open a chain or set, and its end.
            (other, None) if other.is_empty() || other == "}" || other.ends_with(';') => rule.clear(),
            // nft breaks a line inside a long set or map.
            (begun, None) => {
                rule.push_str(begun);
                rule.push(' ');
            }
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn reads_rules_that_are_broken_over_lines_or_hold_the_mark_themselves() {
        let text = "table inet f { # handle 1\n\tset bad { # handle 2\n\t\ttype ipv4_addr\n\t\telements = { 1.2.3.4,\n\t\t\t     \
                    5.6.7.8 }\n\t}\n\n\tchain c { # handle 3\n\t\ttype filter hook forward priority filter; policy drop;\n\t\ttcp \
                    dport vmap { 22 : accept,\n\t\t\t     80 : drop } # handle 4\n\t\tdrop comment \"a # handle 9\" # handle \
                    5\n\t}\n}\ntable ip g { # handle 2\n\tchain c { # handle 3\n\t\treturn # handle 4\n\t}\n}\n";
        let texts = read(text).rules;
        assert_eq!(texts["inet f"][&4], "tcp dport vmap { 22 : accept, 80 : drop }");
        assert_eq!(texts["inet f"][&5], "drop comment \"a # handle 9\"");
        assert_eq!(texts["ip g"][&4], "return");
    }
}
