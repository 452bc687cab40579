//! Commands that look into a namespace or mend it, as a person on this machine types them.

use super::Machine;
use crate::diagnose::typed;
use crate::netns::NetnsInode;

impl Machine {
    /// An `ip` command: `ip -n lab-host link set c1-h up`. Words in it that are not our own have to be
    /// [`typed::word`]s.
    pub fn ip(&mut self, netns: NetnsInode, rest: &str) -> String {
        let name = self.name(netns);
        if name == "host" || name.starts_with("pid:") {
            return typed::in_netns(&name, &format!("ip {rest}"));
        }
        format!("ip -n {} {rest}", typed::word(&name))
    }

    /// Any other command.
    pub fn command(&mut self, netns: NetnsInode, command: &str) -> String {
        typed::in_netns(&self.name(netns), command)
    }
}
