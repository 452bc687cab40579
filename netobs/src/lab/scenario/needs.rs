//! Whether this machine can play a scenario at all.

use std::env;

use super::super::Result;
use super::stage::Stage;
use super::{Needed, Scenario};
use crate::netns::in_netns;

/// What is missing before anything is made.
pub(super) fn missing_from_machine(scenario: &Scenario) -> Option<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let has = |program: &str| env::split_paths(&path).any(|folder| folder.join(program).is_file());
    scenario.needs.iter().find_map(|need| match &need.what {
        Needed::Program(program) if !has(program) => Some(format!("{} (no program `{program}` in PATH)", need.why)),
        Needed::Program(_) | Needed::Sysctl { .. } | Needed::MemoryLimit { .. } => None,
    })
}

/// What is missing in the lab that was made.
pub(super) fn missing_from_lab(scenario: &Scenario, stage: &Stage) -> Result<Option<String>> {
    for need in &scenario.needs {
        let missing = match &need.what {
            Needed::Program(_) => None,
            Needed::Sysctl { node, key } => {
                let path = format!("/proc/sys/{}", key.replace('.', "/"));
                let there = in_netns(&stage.netns(node)?, || std::path::Path::new(&path).exists())?;
                (!there).then(|| format!("{} (no {key} in {node})", need.why))
            }
            Needed::MemoryLimit { node } => {
                let state = stage.node(node)?;
                // The builder notes why it could not set one.
                let note = state.notes.iter().find(|note| note.starts_with("no memory limit"));
                let why = note.map_or_else(|| format!("{node} has no memory limit"), Clone::clone);
                (note.is_some() || state.cgroup.is_none()).then(|| format!("{} ({why})", need.why))
            }
        };
        if missing.is_some() {
            return Ok(missing);
        }
    }
    Ok(None)
}
