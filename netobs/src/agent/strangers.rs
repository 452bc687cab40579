use std::collections::HashSet;
use std::sync::Arc;

use super::census::{Census, UNKNOWN};
use crate::netns::NetnsCookie;

/// Namespaces that were counted in before anybody knew them: one that was made while a scrape went on. They are told
/// from the next reading on, under the name that was found meanwhile; otherwise what they had counted would be told
/// under two names.
#[derive(Debug)]
pub struct Strangers {
    unknown: Arc<str>,
    before: HashSet<NetnsCookie>,
    now: HashSet<NetnsCookie>,
}

impl Default for Strangers {
    fn default() -> Self {
        Self { unknown: UNKNOWN.into(), before: HashSet::new(), now: HashSet::new() }
    }
}

impl Strangers {
    /// Begins a reading.
    pub fn begin(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    /// What a namespace is called, `unknown` if it was not known at the last reading either. `None` if it is to be told
    /// at the next.
    pub fn name(&mut self, cookie: Option<NetnsCookie>, census: &Census) -> Option<Arc<str>> {
        let Some(cookie) = cookie else { return Some(Arc::clone(&self.unknown)) };
        if let Some(name) = census.name(cookie) {
            return Some(Arc::clone(name));
        }
        self.now.insert(cookie);
        self.before.contains(&cookie).then(|| Arc::clone(&self.unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_told_at_the_second_reading() {
        let (census, mut strangers) = (Census::default(), Strangers::default());
        let cookie = Some(NetnsCookie(7));
        for expected in [None, Some("unknown"), Some("unknown")] {
            strangers.begin();
            for _ in 0..2 {
                assert_eq!(strangers.name(cookie, &census).as_deref(), expected);
            }
            assert_eq!(strangers.name(None, &census).as_deref(), Some("unknown"));
        }
        // Not there for once.
        strangers.begin();
        strangers.begin();
        assert_eq!(strangers.name(cookie, &census), None);
    }
}
