//! The scenarios that the binary carries.

use std::path::Path;

use super::Scenario;
use super::problem::{Problem, Problems};

macro_rules! carried {
    ($($name:literal),* $(,)?) => {
        /// Name and text of each, in the order they are listed and run: from the cable up.
        const CARRIED: &[(&str, &str)] =
            &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/", $name, ".toml")))),*];
    };
}

carried![
    "host-veth-down",
    "veth-not-enslaved",
    "dangling-cable",
    "container-veth-down",
    "loopback-down",
    "no-default-route",
    "wrong-gateway",
    "address-without-prefix",
    "duplicate-routes",
    "bridge-down",
    "stale-neighbour",
    "duplicate-address",
    "veth-mtu-mismatch",
    "bridge-mtu-black-hole",
    "ip-forward-off",
    "host-no-route",
    "rp-filter-strict",
    "mtu-path-smaller",
    "mtu-black-hole",
    "mtu-black-hole-clamped",
    "no-masquerade",
    "forward-policy-drop",
    "bridge-netfilter-drop",
    "conntrack-full",
    "conntrack-early-drop",
    "snat-port-clash",
    "port-not-published",
    "dnat-wrong-target",
    "no-listener",
    "hairpin-off",
    "dns-unreachable",
    "oom-kill",
];

/// All built-in scenarios.
///
/// # Errors
/// One of them cannot be read, which would be a defect of ours.
pub fn builtin() -> Result<Vec<Scenario>, Problems> {
    CARRIED.iter().map(|(name, text)| Scenario::parse(&format!("{name}.toml"), text)).collect()
}

/// The file of a built-in scenario.
pub fn source(name: &str) -> Option<&'static str> {
    CARRIED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// A scenario by its name, or of a file of the user's: anything with a `/` or that ends in `.toml`.
///
/// # Errors
/// There is none, or all that is wrong with its file.
pub fn find(name: &str) -> Result<Scenario, Problems> {
    let whole = |reason: String| Problems { file: name.to_owned(), problems: vec![Problem { line: None, reason }] };
    if name.contains('/') || name.ends_with(".toml") {
        let text = std::fs::read_to_string(Path::new(name)).map_err(|error| whole(error.to_string()))?;
        return Scenario::parse(name, &text);
    }
    match source(name) {
        Some(text) => Scenario::parse(&format!("{name}.toml"), text),
        None => Err(whole("there is no such scenario; `netobs lab scenarios` lists them".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{CARRIED, builtin};

    #[test]
    fn each_file_is_carried_and_sound() {
        let scenarios = builtin().unwrap_or_else(|problems| panic!("{problems}"));
        for (scenario, (name, _)) in scenarios.iter().zip(CARRIED) {
            assert_eq!(scenario.name, *name, "the file is called as the scenario is");
            assert!(scenario.asking.is_some(), "{name} asks for no diagnosis");
            assert!(scenario.metrics.is_some(), "{name} does not say what metrics show of it");
        }
        let carried: BTreeSet<String> = CARRIED.iter().map(|(name, _)| format!("{name}.toml")).collect();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(files.collect::<BTreeSet<_>>(), carried);
    }
}
