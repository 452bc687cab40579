//! What a diagnosis is asked.

use std::fmt;
use std::net::IpAddr;

use super::super::LabName;
use crate::diagnose::{Protocol, Target, Whom};

/// A question about the way from a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// The node.
    pub from: String,
    /// To whom.
    pub to: Target,
    /// By which protocol.
    pub protocol: Protocol,
    /// The node in which a server answers datagrams meanwhile.
    pub at: Option<String>,
}

impl Asking {
    /// The address it is about, where that is given.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self.to.whom {
            Whom::Address(address) => Some(address),
            Whom::Name(_) => None,
        }
    }

    /// What a person would type to ask the same in a lab.
    pub fn typed(&self, lab: &LabName) -> String {
        format!("netobs diagnose --from {} {self}", lab.namespace(&self.from))
    }
}

impl fmt::Display for Asking {
    /// As options: the protocol only where it is not the usual one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--to {}", self.to)?;
        if self.to.protocol(None) == Ok(self.protocol) {
            Ok(())
        } else {
            write!(f, " --proto {}", self.protocol.name())
        }
    }
}
