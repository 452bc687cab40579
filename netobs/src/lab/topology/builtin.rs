use super::{Mistakes, Topology, parse};

/// A topology that the program carries.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// What it is called.
    pub name: &'static str,
    /// Its file.
    pub text: &'static str,
}

macro_rules! builtin {
    ($($name:literal),* $(,)?) => {
        [$(Builtin { name: $name, text: include_str!(concat!("../../../topologies/", $name, ".toml")) }),*]
    };
}

impl Builtin {
    /// All of them, in the order in which they are learned.
    pub const ALL: [Self; 12] = builtin![
        "fresh",
        "host-only",
        "bridge",
        "one-container",
        "no-bridge",
        "default",
        "three-containers",
        "uplink-in-bridge",
        "two-uplinks",
        "vxlan",
        "routed",
        "ipv6",
    ];

    /// What is built if nothing else is asked for.
    pub const DEFAULT: &str = "default";

    /// The one of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|builtin| builtin.name == name)
    }

    /// What its file says.
    pub fn topology(self) -> Result<Topology, Mistakes> {
        parse(self.name, self.text)
    }
}

/// Two containers on a host's bridge, and a world behind the host's uplink: what `docker0` does, made complete.
pub fn default_topology() -> Topology {
    // A test reads every built-in file: none has a mistake.
    Builtin::find(Builtin::DEFAULT).and_then(|builtin| builtin.topology().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Builtin, Topology, default_topology};

    #[test]
    fn all_are_sound_and_survive_being_written_down() {
        for builtin in Builtin::ALL {
            let topology = builtin.topology().unwrap_or_else(|mistakes| panic!("{mistakes}"));
            assert_eq!(topology.name, builtin.name);
            assert!(topology.about.ends_with('.'), "{}: a sentence", builtin.name);
            let written = serde_json::to_string(&topology).unwrap();
            assert_eq!(serde_json::from_str::<Topology>(&written).unwrap(), topology);
        }
        assert_eq!(default_topology().nodes.len(), 4);
    }
}
