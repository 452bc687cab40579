use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::api::{self, Engine};
use super::cgroup::Group;
use super::folders::Folders;
use super::{Owner, keeper};

/// An engine that does not answer must not hold up the rest.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long one that did not is left alone.
const SILENCE: Duration = Duration::from_secs(10);
/// How soon a container that has no name yet is looked for again, and how often at least: an engine may still be
/// writing down what it makes, or be away for a while.
const SOON: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(60);

/// Whose containers are, as engines and their folders say it, and what they said before.
#[derive(Debug, Default)]
pub struct Engines {
    folders: Folders,
    known: HashMap<String, Known>,
    silent: HashMap<Engine, Instant>,
}

#[derive(Debug)]
struct Known {
    /// `None` for a group that is no container as far as anybody says.
    owner: Option<Owner>,
    /// Whether that will not get any better.
    is_settled: bool,
    since: Instant,
    asked: Instant,
}

impl Known {
    /// Later and later.
    fn is_due(&self, now: Instant) -> bool {
        !self.is_settled && now.duration_since(self.asked) >= self.asked.duration_since(self.since).clamp(SOON, LATE)
    }
}

impl Engines {
    /// Finds out about groups, each with a process in it, that are new or still have no name. Each engine is asked once
    /// for all of them.
    pub fn learn(&mut self, members: &[(i32, &Group)]) {
        let now = Instant::now();
        let mut unnamed: Vec<&Group> = Vec::new();
        for (pid, group) in members {
            let since = match self.known.get(&group.key()) {
                Some(known) if !known.is_due(now) => continue,
                known => known.map_or(now, |known| known.since),
            };
            let owner = self.folders.owner(group).or_else(|| keeper::owner(*pid, group));
            let owner = owner.or_else(|| group.is_sure().then(|| Owner::nameless(group.runtime, &group.id)));
            let is_settled = owner.as_ref().is_some_and(|owner| is_named(owner, group));
            if !is_settled {
                unnamed.push(group);
            }
            self.known.insert(group.key(), Known { owner, is_settled, since, asked: now });
        }
        unnamed.retain(|group| group.may_be_listed());
        if !unnamed.is_empty() {
            self.ask(&unnamed, now);
        }
    }

    fn ask(&mut self, groups: &[&Group], now: Instant) {
        let ids: Vec<_> = groups.iter().map(|group| &*group.id).collect();
        self.silent.retain(|_, since| now.duration_since(*since) < SILENCE);
        for engine in api::engines() {
            if !engine.is_there() || self.silent.contains_key(&engine) {
                continue;
            }
            let Some(listed) = engine.some(&ids, PATIENCE) else {
                self.silent.insert(engine, now);
                continue;
            };
            for listed in listed {
                let group = groups.iter().find(|group| group.id == listed.id);
                if let Some((group, known)) = group.zip(self.known.get_mut(&listed.id)) {
                    let owner = listed.owner(engine.runtime);
                    // An engine in a hurry may leave out the pod.
                    known.is_settled = is_named(&owner, group);
                    known.owner = Some(owner);
                }
            }
        }
    }

    /// Whose a group is, as far as that has been learned.
    pub fn owner(&self, group: &Group) -> Option<&Owner> {
        self.known.get(&group.key()).and_then(|known| known.owner.as_ref())
    }

    /// Of several containers that share something the first that has a name, or the first.
    pub fn first<'a>(&self, groups: impl Iterator<Item = &'a Group>) -> Option<&Owner> {
        let known = groups.filter_map(|group| self.known.get(&group.key()));
        let mut owned = known.filter_map(|known| Some((known.is_settled, known.owner.as_ref()?)));
        let first = owned.next()?;
        let named = std::iter::once(first).chain(owned).find(|(is_settled, _)| *is_settled);
        Some(named.unwrap_or(first).1)
    }

    /// Whether it is time to learn more of a container, by its [`Group::key`].
    pub fn is_due(&self, key: &str) -> bool {
        let now = Instant::now();
        self.known.get(key).is_none_or(|known| known.is_due(now))
    }

    /// Forgets all but these; what is no container is remembered as that for a while, too.
    pub fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        let now = Instant::now();
        let is_fresh = |known: &Known| known.owner.is_none() && now.duration_since(known.since) < LATE;
        self.known.retain(|key, known| is_there(key) || is_fresh(known));
    }
}

/// Whether somebody gave it a name: `ID-infra` is what Podman calls the container that holds a pod's namespaces.
fn is_named(owner: &Owner, group: &Group) -> bool {
    let is_made_up =
        owner.container == Owner::nameless(None, &group.id).container || owner.container.ends_with("-infra");
    !owner.pod.is_empty() || !is_made_up || !group.is_id()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Runtime;

    #[test]
    fn what_has_no_name_is_looked_for_later_and_later() {
        let since = Instant::now();
        let at =
            |asked: u64| Known { owner: None, is_settled: false, since, asked: since + Duration::from_millis(asked) };
        for (asked, due) in [(0, 100), (100, 200), (200, 400), (5_000, 10_000), (600_000, 660_000)] {
            let known = at(asked);
            assert!(!known.is_due(since + Duration::from_millis(due - 1)), "{asked}");
            assert!(known.is_due(since + Duration::from_millis(due)), "{asked}");
        }
        assert!(!Known { is_settled: true, ..at(0) }.is_due(since + LATE * 2));
    }

    #[test]
    fn nothing_is_guessed() {
        let id = "ab".repeat(32);
        let group =
            |runtime, id: &str| Group { runtime, id: id.to_owned(), parent: "netobs-test".into(), pod_uid: None };
        let (sure, perhaps, word) =
            (group(Some(Runtime::CriO), &id), group(None, &"cd".repeat(32)), group(None, "web"));
        let mut engines = Engines::default();
        let pid = std::process::id().cast_signed();
        engines.learn(&[(pid, &sure), (pid, &perhaps), (pid, &word)]);
        let owner = engines.owner(&sure).unwrap();
        assert_eq!((&*owner.runtime, &*owner.container, &*owner.pod), ("cri-o", "abababababab", ""));
        assert_eq!((engines.owner(&perhaps), engines.owner(&word)), (None, None));
        engines.keep(|_| false);
        assert!(engines.is_due(&id) && !engines.is_due(&perhaps.key()));
    }
    #[test]
    fn who_has_a_name_comes_before_who_holds_a_pod() {
        let group = |id: &str| Group { runtime: None, id: id.repeat(32), parent: "pod".into(), pod_uid: None };
        let (holder, web, other) = (group("a1"), group("b2"), group("c3"));
        let mut engines = Engines::default();
        let now = Instant::now();
        for (group, container) in [(&holder, "0a1b2c3d4e5f-infra"), (&web, "web")] {
            let owner = Owner { container: container.to_owned(), ..Owner::default() };
            let is_settled = is_named(&owner, group);
            engines.known.insert(group.key(), Known { owner: Some(owner), is_settled, since: now, asked: now });
        }
        let first = |groups: &[&Group]| engines.first(groups.iter().copied()).map(|owner| owner.container.clone());
        assert_eq!(first(&[&other, &holder, &web]).as_deref(), Some("web"));
        assert_eq!(first(&[&other, &holder]).as_deref(), Some("0a1b2c3d4e5f-infra"));
        assert_eq!(first(&[&other]), None);
    }
}
