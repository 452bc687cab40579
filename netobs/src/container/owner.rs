use super::Runtime;
use super::cgroup::is_id;

/// Characters of a container's id that people use for it.
const SHORT: usize = 12;
/// Labels (Docker's, Podman's) and annotations (containerd's, CRI-O's) that name a pod's container, its pod, and its
/// namespace.
const NAMES: [&str; 2] = ["io.kubernetes.cri.container-name", "io.kubernetes.container.name"];
const PODS: [&str; 2] = ["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"];
const NAMESPACES: [&str; 2] = ["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"];
/// What nerdctl writes.
const NERDCTL: &str = "nerdctl/name";
/// What some call the container that only holds a pod's namespaces.
const HOLDER: &str = "POD";

/// Whose a namespace or a process is. Empty for what there is none of, or is not known. Strangers' texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// `docker`, `podman`, `containerd`, `cri-o`.
    pub runtime: String,
    /// The container's name: in a pod that which the pod has for it, otherwise its own, or the beginning of its id.
    pub container: String,
    /// The pod it is in.
    pub pod: String,
    /// The Kubernetes namespace of that.
    pub namespace: String,
}

impl Owner {
    /// One of which no more is known than its id.
    pub(super) fn nameless(runtime: Option<Runtime>, id: &str) -> Self {
        // What a person typed is a name.
        let container = if is_id(id) { id.get(..SHORT).unwrap_or(id) } else { id };
        let runtime = runtime.map(Runtime::label).unwrap_or_default().to_owned();
        Self { runtime, container: container.to_owned(), ..Self::default() }
    }

    /// What its labels or annotations say.
    pub(super) fn labelled<'a>(self, label: impl Fn(&str) -> Option<&'a str>) -> Self {
        let find = |keys: &[&str]| keys.iter().find_map(|key| label(key)).unwrap_or_default().to_owned();
        let (pod, namespace) = (find(&PODS), find(&NAMESPACES));
        if pod.is_empty() {
            let container = label(NERDCTL).map_or(self.container, str::to_owned);
            return Self { container, ..self };
        }
        let container = Some(find(&NAMES)).filter(|name| name != HOLDER).unwrap_or_default();
        Self { container, pod, namespace, ..self }
    }

    /// One name for it: `namespace/pod`, or that of the container.
    pub fn name(&self) -> Option<String> {
        match self {
            Self { container, pod, .. } if container.is_empty() && pod.is_empty() => None,
            Self { pod, container, .. } if pod.is_empty() => Some(container.clone()),
            Self { pod, namespace, .. } if namespace.is_empty() => Some(pod.clone()),
            Self { pod, namespace, .. } => Some(format!("{namespace}/{pod}")),
        }
    }

    /// The container's name among all others: `namespace/pod/container` in a pod.
    pub fn full_name(&self) -> Option<String> {
        let name = self.name()?;
        let is_whole = self.pod.is_empty() || self.container.is_empty();
        Some(if is_whole { name } else { format!("{name}/{}", self.container) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn labels_name_pods() {
        let nameless = || Owner::nameless(Some(Runtime::Containerd), ID);
        for (labels, name, full) in [
            (&[][..], "0123456789ab", "0123456789ab"),
            (&[("nerdctl/name", "web")], "web", "web"),
            (
                &[("io.kubernetes.cri.sandbox-name", "web-0"), ("io.kubernetes.cri.sandbox-namespace", "shop")],
                "shop/web-0",
                "shop/web-0",
            ),
            (
                &[
                    ("io.kubernetes.cri.sandbox-name", "web-0"),
                    ("io.kubernetes.cri.sandbox-namespace", "shop"),
                    ("io.kubernetes.cri.container-name", "nginx"),
                ],
                "shop/web-0",
                "shop/web-0/nginx",
            ),
            (
                &[
                    ("io.kubernetes.pod.name", "web-0"),
                    ("io.kubernetes.pod.namespace", "shop"),
                    ("io.kubernetes.container.name", "POD"),
                ],
                "shop/web-0",
                "shop/web-0",
            ),
        ] {
            let owner = nameless().labelled(|key| labels.iter().find(|(own, _)| *own == key).map(|(_, value)| *value));
            assert_eq!((owner.name().as_deref(), owner.full_name().as_deref()), (Some(name), Some(full)), "{labels:?}");
            assert_eq!(owner.runtime, "containerd");
        }
        assert_eq!(Owner::nameless(None, "web1").name().as_deref(), Some("web1"));
        assert_eq!((Owner::default().name(), Owner::default().full_name()), (None, None));
    }
}
