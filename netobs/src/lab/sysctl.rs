use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use super::topology::Node;
use super::{Error, Result};
use crate::netns::{Netns, in_netns};

/// The file of a setting such as `net.ipv4.ip_forward`. It belongs to the namespace of the thread that opens it.
fn path(key: &str) -> PathBuf {
    PathBuf::from(format!("/proc/sys/{}", key.replace('.', "/")))
}

/// When a setting can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// As soon as there is a namespace; links made later start with it.
    BeforeLinks,
    /// Once there is the device it is of.
    AfterLinks,
}

/// Writes those of a node's settings whose time has come. Those of a protocol that this kernel does not have are left
/// out.
pub(super) fn write(node: &Node, netns: &Netns, now: Stage) -> Result<()> {
    let due = |key: &str| (now == Stage::AfterLinks) == Node::device_of_sysctl(key).is_some();
    if !node.sysctls.keys().any(|key| due(key)) {
        return Ok(());
    }
    in_netns(netns, || {
        for (key, value) in node.sysctls.iter().filter(|(key, _)| due(key)) {
            match fs::write(path(key), value) {
                Err(error) if error.kind() == ErrorKind::NotFound && key.starts_with("net.ipv6.") => {}
                other => other.map_err(Error::io(format!("{}: set {key}={value}", node.name)))?,
            }
        }
        Ok(())
    })?
}

/// Writes those of a node's settings whose time has come and that are not as the topology has them. Returns them.
pub(super) fn mend(node: &Node, netns: &Netns, now: Stage) -> Result<Vec<String>> {
    let due = |key: &str| (now == Stage::AfterLinks) == Node::device_of_sysctl(key).is_some();
    let mut partly = Node { name: node.name.clone(), sysctls: node.sysctls.clone(), ..Node::default() };
    partly.sysctls.retain(|key, _| due(key));
    let differing = differences(&partly, netns)?;
    if !differing.is_empty() {
        partly.sysctls.retain(|key, _| differing.iter().any(|text| text.starts_with(key.as_str())));
        write(&partly, netns, now)?;
    }
    Ok(differing)
}

/// A node's settings that are not as the topology has them, as `key is value, not value`.
pub(super) fn differences(node: &Node, netns: &Netns) -> Result<Vec<String>> {
    let differing = |(key, wanted): (&String, &String)| match read(key) {
        Ok(found) if found == *wanted => None,
        Ok(found) => Some(format!("{key} is {found}, not {wanted}")),
        Err(error) if error.kind() == ErrorKind::NotFound && key.starts_with("net.ipv6.") => None,
        Err(error) => Some(format!("{key}: {error}")),
    };
    Ok(in_netns(netns, || node.sysctls.iter().filter_map(differing).collect())?)
}

/// Whether interfaces get IPv6 addresses in this namespace.
pub(super) fn has_ipv6(netns: &Netns) -> Result<bool> {
    Ok(in_netns(netns, || read("net.ipv6.conf.default.disable_ipv6").is_ok_and(|value| value == "0"))?)
}

fn read(key: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path(key))?.trim().to_owned())
}
