//! `[[needs]]`: what the machine must have.

use serde::Deserialize;

use super::super::{Need, Needed};
use super::choice::only;
use super::step::setting_key;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNeed {
    node: Option<String>,
    sysctl: Option<String>,
    program: Option<String>,
    memory_limit: Option<bool>,
    why: String,
}

impl RawNeed {
    pub(super) fn read(self) -> Result<Need, String> {
        let node = || self.node.clone().ok_or_else(|| "`node` is missing".to_owned());
        let sysctl = self.sysctl.map(|key| setting_key(&key).and_then(|()| Ok(Needed::Sysctl { node: node()?, key })));
        let limit = self.memory_limit.map(|_| Ok::<_, String>(Needed::MemoryLimit { node: node()? }));
        let choices = vec![
            ("sysctl", sysctl.transpose()?),
            ("program", self.program.map(Needed::Program)),
            ("memory_limit", limit.transpose()?),
        ];
        Ok(Need { what: only("a need", choices)?, why: self.why })
    }
}
