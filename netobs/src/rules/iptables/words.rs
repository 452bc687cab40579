//! The words of a rule as `iptables-save` writes them.

/// A word, and whether it stood in quotes, where a `-` means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) quoted: bool,
}

/// Splits at blanks. Words in double quotes may hold blanks, and `\` before what stands for itself
/// (`xtables_save_string`).
pub(super) fn split(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(first) = characters.next() {
        if first.is_ascii_whitespace() {
            continue;
        }
        let quoted = first == '"';
        let mut word = String::new();
        if !quoted {
            word.push(first);
        }
        while let Some(next) = characters.next() {
            match next {
                '"' if quoted => break,
                '\\' if quoted => word.extend(characters.next()),
                ' ' | '\t' if !quoted => break,
                other => word.push(other),
            }
        }
        words.push(Word { text: word, quoted });
    }
    words
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn quotes_hold_blanks_dashes_and_quotes() {
        let words = split(r#"-m comment --comment "a \"-j DROP\" b" -j  ACCEPT"#);
        let texts: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["-m", "comment", "--comment", "a \"-j DROP\" b", "-j", "ACCEPT"]);
        assert!(words[3].quoted && !words[4].quoted);
        assert!(split(r#"--comment "open"#)[1].quoted);
    }
}
