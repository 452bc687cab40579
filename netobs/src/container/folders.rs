//! Reading the folders in which engines keep what runs, for machines where no socket answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::bundle::{described, folders, read_json, text};
use super::cgroup::Group;
use super::{Container, Owner, Runtime};

/// The states of containerd: its own, that of one which Docker started, and Kubernetes distributions'. Each has a folder
/// for each of containerd's namespaces, and in it one for each container, named by its id.
const CONTAINERD: [&str; 4] =
    ["run/containerd", "run/docker/containerd/daemon", "run/k3s/containerd", "var/snap/microk8s/common/run/containerd"];
/// Where a state has its running containers' OCI bundles (containerd 1.2 and later).
const TASKS: &str = "io.containerd.runtime.v2.task";
/// The namespace that Docker's containers are in.
const MOBY: &str = "moby";
/// What Docker keeps of each container, by its id.
const DOCKER: &str = "var/lib/docker/containers";
/// Podman's and CRI-O's: a folder for each storage driver (`overlay-containers`), and in it one for each container.
const STORAGE: &str = "run/containers/storage";
/// What of theirs outlives the machine's running: Podman's names are there, and of its containers' folders another part.
const STORAGE_KEPT: &str = "var/lib/containers/storage";
/// Podman's lists of names; the second is of containers that are removed when they end.
const STORAGE_NAMES: [&str; 2] = ["containers.json", "volatile-containers.json"];
/// Where the kubelet has pods' logs: `NAMESPACE_POD_UID`.
const PODS: &str = "var/log/pods";
/// Engines' folders below a root.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    root: PathBuf,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    #[serde(default)]
    names: Vec<String>,
}

/// Docker's `config.v2.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Docker {
    name: String,
    #[serde(default)]
    config: DockerConfig,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerConfig {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl Default for Folders {
    fn default() -> Self {
        Self::below("/")
    }
}

impl Folders {
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// All that run.
    pub fn all(&self) -> Vec<Container> {
        let namespaces = CONTAINERD.iter().flat_map(|state| folders(&self.root.join(state).join(TASKS)));
        let tasks = namespaces.flat_map(|namespace| folders(&namespace));
        let mut found: Vec<_> =
            tasks.filter_map(|task| self.running(&task, &task.join("init.pid"), &self.task(&task)?)).collect();
        let stored = folders(&self.root.join(STORAGE)).into_iter().flat_map(|driver| folders(&driver));
        found.extend(stored.filter_map(|folder| {
            let owner = self.stored(&folder)?;
            self.running(&folder, &folder.join("userdata/pidfile"), &owner)
        }));
        found
    }

    /// Whose a group is, if one of the folders has it.
    pub fn owner(&self, group: &Group) -> Option<Owner> {
        let owner = self.owner_of_container(group);
        let pod = group.pod_uid.as_deref().filter(|_| owner.as_ref().is_none_or(|owner| owner.pod.is_empty()));
        let Some((namespace, pod)) = pod.and_then(|uid| self.pod(uid)) else { return owner };
        // The name of the pod's container stays unknown.
        let runtime = owner.map(|owner| owner.runtime);
        let runtime = runtime.or_else(|| Some(group.runtime?.label().to_owned())).unwrap_or_default();
        Some(Owner { runtime, pod, namespace, container: String::new() })
    }

    fn owner_of_container(&self, group: &Group) -> Option<Owner> {
        let Group { runtime, id, parent, .. } = group;
        if !is_name(id) {
            return None;
        }
        match runtime {
            Some(Runtime::Docker) => self.docker(id),
            Some(Runtime::Podman | Runtime::CriO) => self.find_stored(id),
            Some(Runtime::Containerd) => self.find_task(id),
            // An id is one thing in all the world; a name is one's in a namespace of containerd's.
            None if group.is_sure() => self.find_task(id).or_else(|| self.docker(id)),
            None => {
                let tasks = CONTAINERD.iter().map(|state| self.root.join(state).join(TASKS).join(parent).join(id));
                tasks.filter(|_| is_name(parent)).find_map(|task| self.task(&task))
            }
        }
    }

    fn find_task(&self, id: &str) -> Option<Owner> {
        let namespaces = CONTAINERD.iter().flat_map(|state| folders(&self.root.join(state).join(TASKS)));
        namespaces.into_iter().find_map(|namespace| self.task(&namespace.join(id)))
    }

    fn find_stored(&self, id: &str) -> Option<Owner> {
        folders(&self.root.join(STORAGE)).iter().find_map(|driver| self.stored(&driver.join(id)))
    }

    /// Whose a bundle of containerd's is.
    fn task(&self, task: &Path) -> Option<Owner> {
        let id = name_of(task)?;
        let is_dockers = task.parent().and_then(name_of) == Some(MOBY);
        let nameless = Owner::nameless(Some(Runtime::Containerd), id);
        let owner = described(task, nameless)?;
        if is_dockers {
            self.docker(id).or_else(|| Some(Owner::nameless(Some(Runtime::Docker), id)))
        } else {
            Some(owner)
        }
    }

    fn docker(&self, id: &str) -> Option<Owner> {
        let docker: Docker = read_json(&self.root.join(DOCKER).join(id).join("config.v2.json"))?;
        let mut owner = Owner::nameless(Some(Runtime::Docker), id);
        docker.name.trim_start_matches('/').clone_into(&mut owner.container);
        Some(owner.labelled(|key| docker.config.labels.as_ref()?.get(key).map(String::as_str)))
    }

    /// Whose a folder of Podman's or CRI-O's is.
    fn stored(&self, folder: &Path) -> Option<Owner> {
        let (id, driver) = (name_of(folder)?, folder.parent().and_then(name_of)?);
        folder.is_dir().then_some(())?;
        let nameless = Owner::nameless(Some(Runtime::Podman), id);
        // CRI-O writes the bundle here, too.
        if let Some(owner) = described(&folder.join("userdata"), nameless.clone()) {
            return Some(owner);
        }
        let kept = self.root.join(STORAGE_KEPT).join(driver);
        let mut owner = described(&kept.join(id).join("userdata"), nameless.clone()).unwrap_or(nameless);
        let named = STORAGE_NAMES.iter().flat_map(|list| read_json::<Vec<Named>>(&kept.join(list)).unwrap_or_default());
        if let Some(name) =
            named.into_iter().find(|named| named.id == id).and_then(|named| named.names.into_iter().next())
            && owner.pod.is_empty()
        {
            owner.container = name;
        }
        Some(owner)
    }

    /// The namespace and name of a pod.
    fn pod(&self, uid: &str) -> Option<(String, String)> {
        // Neither has an underscore in it.
        let logs = folders(&self.root.join(PODS));
        logs.iter().filter_map(|log| name_of(log)).find_map(|log| {
            let (namespace, rest) = log.split_once('_')?;
            let (pod, own) = rest.split_once('_')?;
            (own == uid).then(|| (namespace.to_owned(), pod.to_owned()))
        })
    }

    fn running(&self, folder: &Path, pid: &Path, owner: &Owner) -> Option<Container> {
        let id = name_of(folder)?.to_owned();
        let pid: i32 = text(pid)?.trim().parse().ok()?;
        // A container that has ended may leave its folder behind for a while.
        Path::new("/proc").join(pid.to_string()).exists().then_some(())?;
        Some(Container { name: owner.full_name().unwrap_or_else(|| id.clone()), id, runtime: runtime(owner)?, pid })
    }
}

fn runtime(owner: &Owner) -> Option<Runtime> {
    let all = [Runtime::Docker, Runtime::Podman, Runtime::Containerd, Runtime::CriO];
    all.into_iter().find(|runtime| runtime.label() == owner.runtime)
}

/// Whether a text leads to something in a folder, and nowhere else.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains('/') && text != "." && text != ".."
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
    const UID: &str = "8d6a4f5e-1f2b-4c3d-9e8f-0a1b2c3d4e5f";

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn group(runtime: Option<Runtime>, parent: &str, id: &str, pod: Option<&str>) -> Group {
        Group { runtime, id: id.into(), parent: parent.into(), pod_uid: pod.map(str::to_owned) }
    }

    fn told(folders: &Folders, group: &Group) -> Option<[String; 4]> {
        folders.owner(group).map(|Owner { runtime, container, pod, namespace }| [runtime, container, pod, namespace])
    }

    fn own_pid() -> String {
        std::process::id().to_string()
    }

    #[test]
    fn containerd_names_pods_and_what_people_typed() {
        let root = tempfile::tempdir().unwrap();
        let tasks = format!("run/containerd/{TASKS}");
        let pod = r#""io.kubernetes.cri.sandbox-name":"web-0","io.kubernetes.cri.sandbox-namespace":"shop""#;
        for (task, annotations) in [
            (format!("k8s.io/{ID}"), format!(r#"{{"io.kubernetes.cri.container-type":"sandbox",{pod}}}"#)),
            (
                format!("k8s.io/{OTHER}"),
                format!(
                    r#"{{"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.container-name":"nginx",{pod}}}"#
                ),
            ),
            ("default/web1".to_owned(), "null".to_owned()),
            ("default/web2".to_owned(), r#"{"nerdctl/name":"shop"}"#.to_owned()),
        ] {
            write(root.path(), &format!("{tasks}/{task}/config.json"), &format!(r#"{{"annotations":{annotations}}}"#));
            write(root.path(), &format!("{tasks}/{task}/init.pid"), &own_pid());
        }
        let folders = Folders::below(root.path());
        let mut names: Vec<_> = folders.all().into_iter().map(|container| container.name).collect();
        names.sort();
        assert_eq!(names, ["shop", "shop/web-0", "shop/web-0/nginx", "web1"]);
        for (group, expected) in [
            (group(Some(Runtime::Containerd), "x.slice", ID, Some(UID)), Some(["containerd", "", "web-0", "shop"])),
            (group(Some(Runtime::Containerd), "x.slice", OTHER, None), Some(["containerd", "nginx", "web-0", "shop"])),
            (group(None, "podx", OTHER, Some(UID)), Some(["containerd", "nginx", "web-0", "shop"])),
            (group(None, "default", "web1", None), Some(["containerd", "web1", "", ""])),
            // Another's cgroup of the same name.
            (group(None, "system.slice", "web1", None), None),
            (group(None, "default", "..", None), None),
            (group(Some(Runtime::Containerd), "default", &"a".repeat(64), None), None),
        ] {
            let expected = expected.map(|texts| texts.map(str::to_owned));
            assert_eq!(told(&folders, &group), expected, "{group:?}");
        }
    }

    #[test]
    fn docker_names_what_its_containerd_runs() {
        let root = tempfile::tempdir().unwrap();
        let task = format!("run/docker/containerd/daemon/{TASKS}/moby/{ID}");
        write(root.path(), &format!("{task}/config.json"), "{}");
        write(root.path(), &format!("{task}/init.pid"), &own_pid());
        let folders = Folders::below(root.path());
        assert_eq!(folders.all()[0].name, &ID[..12]);
        let text = format!(r#"{{"ID":"{ID}","Name":"/web","Config":{{"Labels":{{}}}},"State":{{}}}}"#);
        write(root.path(), &format!("{DOCKER}/{ID}/config.v2.json"), &text);
        let all = folders.all();
        let expected =
            Container { name: "web".into(), id: ID.into(), runtime: Runtime::Docker, pid: own_pid().parse().unwrap() };
        assert_eq!(all, [expected]);
        let owner = told(&folders, &group(Some(Runtime::Docker), "docker", ID, None));
        assert_eq!(owner, Some(["docker", "web", "", ""].map(str::to_owned)));
        // Its first process has ended.
        write(root.path(), &format!("{task}/init.pid"), &i32::MAX.to_string());
        assert_eq!(folders.all(), []);
    }

    #[test]
    fn podman_and_cri_o_share_a_folder() {
        let root = tempfile::tempdir().unwrap();
        // Podman keeps the bundle with what outlives the machine's running, CRI-O with what does not.
        write(root.path(), &format!("{STORAGE}/vfs-containers/{ID}/userdata/pidfile"), &own_pid());
        let kept = format!("{STORAGE_KEPT}/vfs-containers");
        let annotations = r#"{"annotations":{"io.container.manager":"libpod"}}"#;
        write(root.path(), &format!("{kept}/{ID}/userdata/config.json"), annotations);
        write(root.path(), &format!("{kept}/containers.json"), &format!(r#"[{{"id":"{ID}","names":["web"]}}]"#));
        let annotations = r#"{"io.container.manager":"cri-o","io.kubernetes.container.name":"POD",
            "io.kubernetes.pod.name":"web-0","io.kubernetes.pod.namespace":"shop"}"#;
        let userdata = format!("{STORAGE}/overlay-containers/{OTHER}/userdata");
        write(root.path(), &format!("{userdata}/config.json"), &format!(r#"{{"annotations":{annotations}}}"#));
        write(root.path(), &format!("{userdata}/pidfile"), &own_pid());
        let folders = Folders::below(root.path());
        for (runtime, id, expected) in [
            (Runtime::Podman, ID, Some(["podman", "web", "", ""])),
            (Runtime::CriO, OTHER, Some(["cri-o", "", "web-0", "shop"])),
            (Runtime::Podman, &"a".repeat(64), None),
        ] {
            let expected = expected.map(|texts| texts.map(str::to_owned));
            assert_eq!(told(&folders, &group(Some(runtime), "machine.slice", id, None)), expected);
        }
        let all: Vec<_> = folders.all().into_iter().map(|it| (it.name, it.runtime)).collect();
        assert_eq!(all, [("shop/web-0".into(), Runtime::CriO), ("web".into(), Runtime::Podman)]);
    }

    #[test]
    fn a_pod_is_known_by_its_logs_where_nothing_else_tells() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &format!("{PODS}/shop_web-0_{UID}/nginx/0.log"), "");
        let folders = Folders::below(root.path());
        let unknown = group(None, "podx", ID, Some(UID));
        assert_eq!(told(&folders, &unknown), Some(["", "", "web-0", "shop"].map(str::to_owned)));
        assert_eq!(told(&folders, &group(None, "podx", ID, Some("other"))), None);
        assert_eq!(told(&folders, &group(None, "podx", ID, None)), None);
    }
}
