//! What a misspelled name was meant to be.

/// A known name that differs by little, as a question.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = known.collect();
    let best = all.iter().map(|known| (distance(name, known), *known)).min();
    match best {
        Some((distance, near)) if distance <= 2.max(near.len() / 3) => format!("; is `{near}` meant?"),
        _ => format!("; what does: {}", all.join(", ")),
    }
}

/// Insertions, deletions and replacements that lead from one word to the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, character) in one.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        let mut next = vec![left];
        for (above, wanted) in row.iter().skip(1).zip(&other) {
            left = (diagonal + usize::from(character != *wanted)).min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn guesses_what_was_meant() {
        assert_eq!((distance("adress", "address"), distance("", "abc"), distance("abc", "abc")), (1, 3, 0));
        assert_eq!(nearest("adresses", ["addresses", "bridge"].into_iter()), "; is `addresses` meant?");
        assert!(nearest("colour", ["mtu", "bridge"].into_iter()).contains("mtu, bridge"));
    }
}
