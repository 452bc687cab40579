//! What `/etc/hosts` and `/etc/resolv.conf` say.

use std::net::IpAddr;

/// The C library asks no more.
const SERVERS: usize = 3;

/// The first address that the text of `/etc/hosts` gives a name. IPv4 comes first.
pub(super) fn in_hosts(hosts: &str, name: &str) -> Option<IpAddr> {
    let entries = hosts.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    });
    let all: Vec<_> = entries.collect();
    all.iter().find(|address| address.is_ipv4()).or(all.first()).copied()
}

/// What a resolver is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::diagnose) struct ResolvConf {
    /// Whom to ask, in order.
    pub(in crate::diagnose) servers: Vec<IpAddr>,
    /// What to put behind a name.
    search: Vec<String>,
    /// A name with so many dots is complete.
    ndots: usize,
}

impl ResolvConf {
    /// Reads it as the C library does: what it does not know it passes over.
    pub(in crate::diagnose) fn read(text: &str) -> Self {
        let mut conf = Self { servers: Vec::new(), search: Vec::new(), ndots: 1 };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok())),
                Some("search" | "domain") => {
                    conf.search = words.map(|word| word.trim_end_matches('.').to_owned()).collect()
                }
                Some("options") => {
                    let mut dots =
                        words.filter_map(|word| word.strip_prefix("ndots:")).filter_map(|dots| dots.parse().ok());
                    conf.ndots = dots.next_back().unwrap_or(conf.ndots);
                }
                _ => {}
            }
        }
        conf.servers.truncate(SERVERS);
        conf
    }

    /// The names to ask for, in order.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(complete) = name.strip_suffix('.') {
            return vec![complete.to_owned()];
        }
        let mut names: Vec<_> = self.search.iter().map(|domain| format!("{name}.{domain}")).collect();
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        let at = if dots >= self.ndots { 0 } else { names.len() };
        names.insert(at, name.to_owned());
        names
    }
}

#[cfg(test)]
mod tests {
    use super::{ResolvConf, in_hosts};

    #[test]
    fn reads_hosts() {
        let hosts = "127.0.0.1 localhost\nfd00::2 web\n# 10.0.0.9 web\n10.0.0.2  www WEB # the shop\n";
        assert_eq!(in_hosts(hosts, "web"), Some("10.0.0.2".parse().unwrap()));
        assert_eq!(in_hosts(hosts, "shop"), None);
        assert_eq!(in_hosts("", "web"), None);
    }

    #[test]
    fn reads_resolv_conf() {
        let conf = ResolvConf::read(
            "# ours\nnameserver 10.0.0.1\nnameserver x\nnameserver fd00::1\nsearch a.example b.example.\noptions timeout:1 ndots:2\n",
        );
        assert_eq!(conf.servers.len(), 2);
        assert_eq!(conf.candidates("web"), ["web.a.example", "web.b.example", "web"]);
        assert_eq!(conf.candidates("a.b.c"), ["a.b.c", "a.b.c.a.example", "a.b.c.b.example"]);
        assert_eq!(conf.candidates("web."), ["web"]);
    }
}
