//! What a look at the machine has found, as far as the verdict needs it.

use super::super::{Finding, Step};

/// Where a packet passes, by the name of the namespace and of the device.
pub(in super::super) type Devices = Vec<(String, String)>;

/// The result of a look at the machine.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Known {
    /// What is broken, in the order in which the packet meets it.
    pub(in super::super) findings: Vec<Finding>,
    /// What was looked at.
    pub(in super::super) checked: Vec<Step>,
    /// What could not be told, a line each.
    pub(in super::super) unknown: Vec<String>,
    /// The devices on the way there.
    pub(in super::super) out: Devices,
    /// Those on the way back.
    pub(in super::super) back: Devices,
}
