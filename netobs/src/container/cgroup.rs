//! What a process's cgroups say of the container it is in.

use std::fs;

use super::Runtime;

/// Hexadecimal digits of the ids that engines make.
const WHOLE: usize = 64;

/// How runtimes call the group of a container: `docker-ID.scope` where systemd makes it, and without `.scope` where the
/// runtime does.
const PREFIXES: [(&str, Runtime); 5] = [
    ("docker-", Runtime::Docker),
    ("libpod-", Runtime::Podman),
    ("cri-containerd-", Runtime::Containerd),
    ("nerdctl-", Runtime::Containerd),
    ("crio-", Runtime::CriO),
];
/// The group above one that has nothing but the id for a name. containerd's are its own namespaces.
const PARENTS: [(&str, Runtime); 3] =
    [("docker", Runtime::Docker), ("default", Runtime::Containerd), ("k8s.io", Runtime::Containerd)];

/// A cgroup that is a container's, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Who makes groups of this name, if it tells that.
    pub runtime: Option<Runtime>,
    /// The container's id; where nothing says that it is one, the group's name.
    pub id: String,
    /// The name of the group above. With `ctr run` that is containerd's namespace, and the id anything a person typed.
    pub parent: String,
    /// Kubernetes' number of the pod, from the group of that.
    pub pod_uid: Option<String>,
}

/// A process's place among the cgroups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Innermost first, and those that surely are containers' before others.
    pub groups: Vec<Group>,
    /// The unit of systemd it belongs to.
    pub unit: Option<String>,
}

impl Place {
    /// Where a process is: nowhere, if it has ended.
    pub fn of(pid: i32) -> Self {
        fs::read_to_string(format!("/proc/{pid}/cgroup")).map_or_else(|_| Self::default(), |text| Self::parse(&text))
    }

    fn parse(cgroups: &str) -> Self {
        let mut place = Self::default();
        for path in cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2)) {
            for group in groups(path) {
                if !place.groups.iter().any(|known| known.id == group.id && known.parent == group.parent) {
                    place.groups.push(group);
                }
            }
            place.unit = place.unit.or_else(|| unit(path));
        }
        place.groups.sort_by_key(|group| !group.is_sure());
        place
    }
}

impl Group {
    /// Whether this can be nothing but a container: the rest are if somebody else knows them.
    pub fn is_sure(&self) -> bool {
        self.runtime.is_some() || self.pod_uid.is_some() && self.is_id()
    }

    /// Whether its name is such as engines make up, not people.
    pub fn is_id(&self) -> bool {
        is_id(&self.id)
    }

    /// What tells it from all others: the id, or with a person's name the namespace of that.
    pub fn key(&self) -> String {
        if self.is_id() { self.id.clone() } else { format!("{}/{}", self.parent, self.id) }
    }

    /// Whether an engine that can be asked may have it.
    pub(super) fn may_be_listed(&self) -> bool {
        self.is_id() && matches!(self.runtime, None | Some(Runtime::Docker | Runtime::Podman))
    }
}

fn unit(path: &str) -> Option<String> {
    path.rsplit('/').find(|part| part.ends_with(".service")).map(str::to_owned)
}

fn groups(path: &str) -> Vec<Group> {
    let (mut parent, mut pod) = ("", None);
    let mut found = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && !part.starts_with('.')) {
        let (runtime, id) = named(parent, part);
        pod = pod_uid(part).or(pod);
        found.push(Group { runtime, id: id.to_owned(), parent: parent.to_owned(), pod_uid: pod.clone() });
        parent = part;
    }
    found.reverse();
    found
}

/// Who makes a group of this name, and the id in it.
fn named<'a>(parent: &str, part: &'a str) -> (Option<Runtime>, &'a str) {
    // Where the kubelet means systemd and containerd does not, one group's name is `SLICE:cri-containerd:ID`.
    if let Some((before, id)) = part.rsplit_once(':').filter(|(_, id)| is_id(id)) {
        let maker = before.rsplit(':').next().unwrap_or(before);
        let row = PREFIXES.iter().find(|(prefix, _)| prefix.trim_end_matches('-') == maker);
        return (row.map(|(_, runtime)| *runtime), id);
    }
    let name = part.strip_suffix(".scope").unwrap_or(part);
    let by_prefix = PREFIXES
        .iter()
        .find_map(|(prefix, runtime)| Some((*runtime, name.strip_prefix(prefix).filter(|id| is_id(id))?)));
    if let Some((runtime, id)) = by_prefix {
        return (Some(runtime), id);
    }
    let by_parent = PARENTS.iter().find(|(name, _)| *name == parent && is_id(part));
    (by_parent.map(|(_, runtime)| *runtime), part)
}

/// From `pod123-456`, or from systemd's `kubepods-burstable-pod123_456.slice`.
fn pod_uid(part: &str) -> Option<String> {
    let uid = match part.strip_suffix(".slice").and_then(|slice| slice.strip_prefix("kubepods")) {
        Some(slice) => slice.split_once("-pod")?.1.split(':').next()?.replace('_', "-"),
        None if part.contains(".slice:") => return pod_uid(part.split(':').next()?),
        None => part.strip_prefix("pod")?.to_owned(),
    };
    let is_uid = uid.len() >= 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_uid.then_some(uid)
}

pub(super) fn is_id(text: &str) -> bool {
    text.len() == WHOLE && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "8d6a4f5e-1f2b-4c3d-9e8f-0a1b2c3d4e5f";

    #[test]
    fn containers_are_known_by_their_cgroups() {
        let slice = format!("kubepods-burstable-pod{}.slice", UID.replace('-', "_"));
        let kubepods = format!("kubepods.slice/kubepods-burstable.slice/{slice}");
        for (cgroups, runtime, pod) in [
            (format!("0::/system.slice/docker-{ID}.scope\n"), Some(Runtime::Docker), None),
            (format!("0::/docker/{ID}\n"), Some(Runtime::Docker), None),
            (format!("12:memory:/docker/{ID}\n0::/\n"), Some(Runtime::Docker), None),
            (format!("0::/docker/{ID}/init.scope\n"), Some(Runtime::Docker), None),
            // In the cgroup namespace of another.
            (format!("0::/../../docker/{ID}\n"), Some(Runtime::Docker), None),
            (format!("0::/machine.slice/libpod-{ID}.scope/container\n"), Some(Runtime::Podman), None),
            (format!("9:pids:/libpod_parent/libpod-{ID}\n"), Some(Runtime::Podman), None),
            (format!("0::/default/{ID}\n"), Some(Runtime::Containerd), None),
            (format!("0::/{kubepods}/cri-containerd-{ID}.scope\n"), Some(Runtime::Containerd), Some(UID)),
            (format!("0::/{kubepods}/crio-{ID}.scope\n"), Some(Runtime::CriO), Some(UID)),
            (format!("0::/system.slice/{slice}:cri-containerd:{ID}\n"), Some(Runtime::Containerd), Some(UID)),
            // Whose it is, only an engine can say.
            (format!("0::/kubepods/besteffort/pod{UID}/{ID}\n"), None, Some(UID)),
            // A container inside another is nearer.
            (
                format!("0::/{kubepods}/cri-containerd-{}.scope/docker/{ID}\n", "e".repeat(64)),
                Some(Runtime::Docker),
                Some(UID),
            ),
        ] {
            let place = Place::parse(&cgroups);
            let group = &place.groups[0];
            assert!(group.is_sure(), "{cgroups}: {group:?}");
            assert_eq!((&*group.id, group.runtime, group.pod_uid.as_deref()), (ID, runtime, pod), "{cgroups}");
        }
    }

    #[test]
    fn other_groups_are_only_perhaps_containers() {
        for cgroups in [
            format!("0::/system.slice/docker-{}.scope\n", &ID[..20]),
            format!("0::/machine.slice/libpod-conmon-{ID}.scope\n"),
            format!("0::/somewhere/{ID}\n"),
            "0::/default/web1\n".to_owned(),
            "0::/user.slice/user-0.slice/session-1.scope\n".to_owned(),
            "0::/system.slice/podman.service\n0::/pods/podium\n".to_owned(),
            String::new(),
        ] {
            assert!(Place::parse(&cgroups).groups.iter().all(|group| !group.is_sure()), "{cgroups}");
        }
        let groups = Place::parse("0::/default/web1\n").groups;
        assert_eq!((&*groups[0].parent, &*groups[0].id), ("default", "web1"));
        let unit = Place::parse("0::/system.slice/chrony.service\n").unit;
        assert_eq!(unit.as_deref(), Some("chrony.service"));
        assert_eq!(Place::of(i32::MAX), Place::default());
    }
}
