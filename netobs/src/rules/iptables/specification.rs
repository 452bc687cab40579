//! A rule's options, sorted into what it asks for and what it does.

use super::words::{Word, split};

/// One option: `! --dport 80:90` of `-m tcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Opt {
    /// The match or target it belongs to; empty for `-s`, `-p` and the like.
    pub(super) module: String,
    pub(super) negated: bool,
    /// With its dashes; empty for the mere naming of a match.
    pub(super) name: String,
    pub(super) values: Vec<String>,
}

/// Where a rule leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Target {
    pub(super) name: String,
    /// `-g` instead of `-j`.
    pub(super) goto: bool,
    pub(super) options: Vec<Opt>,
}

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::rules) struct Specification {
    pub(super) conditions: Vec<Opt>,
    /// A rule without one only counts.
    pub(super) target: Option<Target>,
}

/// Options whose one value is free text, which may begin with a dash and is quoted only if it holds a blank or the like.
const FREE_TEXT: [&str; 5] = ["--comment", "--log-prefix", "--nflog-prefix", "--string", "--name"];

impl Specification {
    /// Reads what follows `-A CHAIN`.
    pub(super) fn parse(text: &str) -> Self {
        let mut own = Self::default();
        let mut module = String::new();
        let mut negated = false;
        let mut words = split(text).into_iter().peekable();
        while let Some(word) = words.next() {
            if word.text == "!" && !word.quoted {
                negated = true;
                continue;
            }
            let mut values: Vec<String> = Vec::new();
            let free = FREE_TEXT.contains(&word.text.as_str());
            while let Some(value) = words.next_if(|next| if free { values.is_empty() } else { is_value(next) }) {
                values.push(value.text);
            }
            let first = values.first().cloned().unwrap_or_default();
            let name = word.text;
            match name.as_str() {
                "-m" => {
                    module = first;
                    own.push(Opt { module: module.clone(), negated: false, name: String::new(), values: Vec::new() });
                }
                "-j" | "-g" => {
                    module.clone_from(&first);
                    own.target = Some(Target { name: first, goto: name == "-g", options: Vec::new() });
                }
                _ => {
                    // Only the options that every rule may have are a single letter.
                    let module = if name.starts_with("--") { module.clone() } else { String::new() };
                    own.push(Opt { module, negated, name, values });
                }
            }
            negated = false;
        }
        own
    }

    fn push(&mut self, option: Opt) {
        match &mut self.target {
            Some(target) => target.options.push(option),
            None => self.conditions.push(option),
        }
    }
}

impl Opt {
    /// Its first value, or nothing.
    pub(super) fn value(&self) -> &str {
        self.values.first().map_or("", String::as_str)
    }
}

fn is_value(word: &Word) -> bool {
    word.quoted || !(word.text.starts_with('-') || word.text == "!")
}

#[cfg(test)]
mod tests {
    use super::Specification;

    #[test]
    fn tells_conditions_from_the_targets_options() {
        let text = "! -s 10.0.0.0/8 -p tcp -m tcp ! --dport 80:90 --tcp-flags SYN,ACK SYN -m comment --comment -j \
                    -j DNAT --to-destination 10.0.0.1:80";
        let rule = Specification::parse(text);
        let shown: Vec<_> = rule
            .conditions
            .iter()
            .map(|c| format!("{}|{}|{}|{}", c.module, c.negated, c.name, c.values.join(" ")))
            .collect();
        assert_eq!(
            shown,
            [
                "|true|-s|10.0.0.0/8",
                "|false|-p|tcp",
                "tcp|false||",
                "tcp|true|--dport|80:90",
                "tcp|false|--tcp-flags|SYN,ACK SYN",
                "comment|false||",
                "comment|false|--comment|-j",
            ]
        );
        let target = rule.target.unwrap();
        assert_eq!((target.name.as_str(), target.options[0].value()), ("DNAT", "10.0.0.1:80"));
    }
}
