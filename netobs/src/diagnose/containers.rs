//! Containers' names in what is told. Commands keep `pid:N`'s process: a person cannot type a container's name for it.

use std::collections::BTreeSet;

use super::{Culprit, Diagnosis};
use crate::container::Names;

impl Diagnosis {
    /// Gives namespaces that only a process stands for, `pid:N`, the name of the container which that process begins.
    #[must_use]
    pub fn with_containers(mut self) -> Self {
        let mut unnamed: BTreeSet<String> = BTreeSet::new();
        self.netns(|netns| unnamed.extend(netns.starts_with("pid:").then(|| netns.clone())));
        let names = if unnamed.is_empty() { Names::default() } else { Names::read() };
        for pid in unnamed {
            let number = pid.trim_start_matches("pid:").parse().ok();
            if let Some(name) = number.and_then(|number| names.of(number)) {
                self.rename(&pid, name);
            }
        }
        self
    }

    /// Each name of a namespace that stands by itself.
    fn netns(&mut self, mut change: impl FnMut(&mut String)) {
        let culprits = self.culprit.iter_mut().chain(self.also.iter_mut().map(|finding| &mut finding.culprit));
        let culprits = culprits.filter_map(|culprit: &mut Culprit| culprit.netns.as_mut());
        let places = self.out.places.iter_mut().chain(&mut self.back.places).filter_map(|place| place.netns.as_mut());
        let last = self.last_good.iter_mut().filter_map(|last| last.netns.as_mut());
        culprits.chain(places).chain(last).for_each(&mut change);
    }

    fn rename(&mut self, pid: &str, name: &str) {
        self.netns(|netns| {
            if netns == pid {
                name.clone_into(netns);
            }
        });
        let own = [&mut self.sentence].into_iter().chain(&mut self.evidence);
        let steps = self.steps.iter_mut().map(|step| &mut step.detail);
        let also = self.also.iter_mut().flat_map(|also| [&mut also.sentence].into_iter().chain(&mut also.evidence));
        own.chain(steps).chain(also).for_each(|text| *text = renamed(text, pid, name));
    }
}

/// `pid:12` is no part of `pid:123`.
fn renamed(text: &str, pid: &str, name: &str) -> String {
    let mut told = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(pid) {
        told += before;
        told += if after.starts_with(|next: char| next.is_ascii_digit()) { pid } else { name };
        rest = after;
    }
    told + rest
}

#[cfg(test)]
mod tests {
    use super::renamed;

    #[test]
    fn names_whole_words_only() {
        assert_eq!(renamed("eth0 in pid:12, pid:123 and pid:12", "pid:12", "web"), "eth0 in web, pid:123 and web");
        assert_eq!(renamed("", "pid:12", "web"), "");
    }
}
