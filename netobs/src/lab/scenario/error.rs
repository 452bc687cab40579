use super::super::{Error, LabName};
use super::ObserverError;

/// Why a scenario could not be played at all.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The lab is somebody's.
    #[error("a lab `{0}` is up already; `netobs lab down {0}` removes it, or choose another --name")]
    InUse(LabName),
    /// The lab is of another topology.
    #[error("the scenario needs topology `{needed}`, and lab `{lab}` is of topology `{found}`")]
    OtherTopology {
        /// The lab.
        lab: LabName,
        /// What the scenario needs.
        needed: String,
        /// What the lab is.
        found: String,
    },
    /// No topology has this name, or its file is wrong.
    #[error("the scenario's topology `{name}`: {}", .mistakes.to_string().replace('\n', "; "))]
    NoTopology {
        /// What the scenario needs.
        name: String,
        /// What is wrong.
        mistakes: super::super::Mistakes,
    },
    /// The lab failed.
    #[error(transparent)]
    Lab(#[from] Error),
    /// Observing failed.
    #[error(transparent)]
    Observer(#[from] ObserverError),
}
