//! `[diagnose]`: what a user would ask.

use serde::Deserialize;

use super::super::asking::Asking;
use crate::diagnose::{Protocol, Target, TargetError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAsking {
    from: String,
    to: String,
    proto: Option<Protocol>,
    at: Option<String>,
}

impl RawAsking {
    pub(super) fn read(self) -> Result<Asking, String> {
        let to: Target = self.to.parse().map_err(|error: TargetError| error.to_string())?;
        let protocol = to.protocol(self.proto).map_err(|error| error.to_string())?;
        if self.at.is_some() && protocol != Protocol::Udp {
            return Err("`at` is for udp: a server that answers meanwhile".to_owned());
        }
        Ok(Asking { from: self.from, to, protocol, at: self.at })
    }
}
