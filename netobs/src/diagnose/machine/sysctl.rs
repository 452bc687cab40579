//! Settings under `/proc/sys/net`.

use std::fs;

use super::Machine;
use crate::netns::{NetnsInode, in_netns};

impl Machine {
    /// A setting's text, by its path below `/proc/sys/net` (`ipv4/conf/br0/rp_filter`). `None` if there is none.
    pub fn sysctl(&mut self, netns: NetnsInode, key: &str) -> Option<String> {
        self.sysctls(netns, &[key]);
        self.open(netns)?.sysctls.get(key)?.clone()
    }

    /// A setting's number.
    pub fn number(&mut self, netns: NetnsInode, key: &str) -> Option<i64> {
        self.sysctl(netns, key)?.parse().ok()
    }

    /// Reads several settings at once: `/proc/sys/net` shows the namespace of the thread that looks, and each look takes
    /// a thread of its own.
    pub fn sysctls(&mut self, netns: NetnsInode, keys: &[&str]) {
        let Some(opened) = self.open(netns) else { return };
        let new: Vec<&str> = keys.iter().copied().filter(|key| !opened.sysctls.contains_key(*key)).collect();
        if new.is_empty() {
            return;
        }
        let read = |key: &str| {
            let text = fs::read_to_string(format!("/proc/sys/net/{key}")).ok();
            (key.to_owned(), text.map(|text| text.trim().to_owned()))
        };
        if let Ok(found) = in_netns(&opened.netns, || new.into_iter().map(read).collect::<Vec<_>>()) {
            opened.sysctls.extend(found);
        }
    }
}

/// The setting's name as `sysctl` takes it: dots for slashes, and slashes for the dots of a device's name.
pub fn sysctl_name(key: &str) -> String {
    let swapped = key.chars().map(|c| match c {
        '/' => '.',
        '.' => '/',
        other => other,
    });
    format!("net.{}", swapped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::sysctl_name;

    #[test]
    fn a_device_keeps_its_dots() {
        assert_eq!(sysctl_name("ipv4/conf/eth0.5/rp_filter"), "net.ipv4.conf.eth0/5.rp_filter");
    }
}
