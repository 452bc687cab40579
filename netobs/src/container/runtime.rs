use std::fmt;

/// Whose containers they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// Docker's engine.
    Docker,
    /// Podman.
    Podman,
    /// containerd by itself, or under Kubernetes or nerdctl.
    Containerd,
    /// CRI-O, under Kubernetes.
    CriO,
}

impl Runtime {
    /// As labels have it: `docker`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
        }
    }
}

impl fmt::Display for Runtime {
    /// As people write it: `Docker`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "Docker",
            Self::Podman => "Podman",
            Self::Containerd => "containerd",
            Self::CriO => "CRI-O",
        })
    }
}
