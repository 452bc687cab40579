//! Where a file says one of several things.

use serde::Deserialize;

/// One, or one of several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
pub(super) enum OneOf<T> {
    One(T),
    Of(Vec<T>),
}

impl<T> OneOf<T> {
    pub(super) fn list(this: Option<Self>) -> Vec<T> {
        match this {
            None => Vec::new(),
            Some(Self::One(one)) => vec![one],
            Some(Self::Of(several)) => several,
        }
    }
}

/// The one that is there, or a sentence about what should have been.
pub(super) fn only<T>(what: &str, choices: Vec<(&str, Option<T>)>) -> Result<T, String> {
    let names = choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let mut there: Vec<_> = choices.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect();
    match (there.pop(), there.is_empty()) {
        (Some((_, only)), true) => Ok(only),
        (None, _) => Err(format!("{what} has one of: {names}")),
        (Some((last, _)), false) => {
            there.truncate(1);
            let first = there.pop().map_or("", |(name, _)| name);
            Err(format!("{what} does one thing: this one has both `{first}` and `{last}`"))
        }
    }
}
