//! Commands as a person would type them.

use std::path::Path;

use super::{Builtin, LabName, State};

/// A word as a shell needs it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The option that says which lab is meant, with a blank before it; nothing if it is the one that is meant anyway.
pub fn name_option(lab: &str) -> String {
    if lab == LabName::DEFAULT { String::new() } else { format!(" --name {lab}") }
}

/// What builds or mends a lab as it was asked for, from a built-in topology or a file.
pub(super) fn up(lab: &str, topology: &str, source: Option<&Path>) -> String {
    let of = source.map_or_else(|| topology.to_owned(), |path| quoted(&path.to_string_lossy()));
    let of = if of == Builtin::DEFAULT { String::new() } else { format!(" {of}") };
    format!("netobs lab up{of}{}", name_option(lab))
}

/// The same for one that is written down.
pub(super) fn up_again(state: &State) -> String {
    up(state.lab.as_str(), &state.topology.name, state.source.as_deref())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::up;

    #[test]
    fn what_is_meant_anyway_is_not_said() {
        assert_eq!(up("lab", "default", None), "netobs lab up");
        assert_eq!(up("two", "three-containers", None), "netobs lab up three-containers --name two");
        let file = Some(Path::new("/home/me/my lab.toml"));
        assert_eq!(up("lab", "my lab", file), "netobs lab up '/home/me/my lab.toml'");
    }
}
