//! Names come from strangers: a device may be called `\x1b[2J`.

use std::borrow::Cow;

/// `text` with every control character, and every character that could reorder a terminal's line, written as an escape.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if harmless(c) { c.to_string() } else { c.escape_default().to_string() }).collect())
}

/// The first `columns` characters of `text`, the last of them `…` if there are more.
pub fn shortened(text: &str, columns: usize) -> Cow<'_, str> {
    match text.char_indices().nth(columns) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()),
    }
}

/// Bidirectional overrides and line separators print nothing themselves but change how the rest of the line reads.
fn harmless(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{printable, shortened};

    #[test]
    fn leaves_plain_names_alone_and_escapes_the_rest() {
        assert_eq!(printable("lab-c1/eth0"), "lab-c1/eth0");
        assert_eq!(printable("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(printable("\u{202e}0hte"), "\\u{202e}0hte");
    }

    #[test]
    fn shortens_only_what_is_too_long() {
        assert_eq!(shortened("10 → 11", 7), "10 → 11");
        assert_eq!(shortened("10 → 11", 6), "10 → …");
    }
}
