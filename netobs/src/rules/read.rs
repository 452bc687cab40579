//! Reading a namespace's rule set, of every tool that has one there.

use std::fs;

use super::places::Places;
use super::rule::Backend;
use super::table::{Family, Table};
use super::{iptables, nft, tool};
use crate::netlink;
use crate::netns::{self, Netns, in_netns};

/// The names that iptables takes for its tables.
const IPTABLES_TABLES: [&str; 5] = ["raw", "mangle", "nat", "filter", "security"];

/// The rule set of a network namespace, at one moment.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(super) tables: Vec<Table>,
    pub(super) places: Places,
    pub(super) problems: Vec<String>,
    pub(super) others: Vec<String>,
}

/// Why no rule set could be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The namespace cannot be entered.
    #[error(transparent)]
    Netns(#[from] netns::Error),
    /// The namespace's own addresses, which rules may ask for, cannot be read.
    #[error("read the rule set: {0}")]
    Addresses(#[from] netlink::Error),
}

impl Rules {
    /// Reads the rule set of `netns` with `nft`, `iptables-nft-save` and, where `/proc/net/ip_tables_names` lists
    /// tables, `iptables-legacy-save`, and the IPv6 ones. Only programs that have something to print are run; nothing is
    /// changed. What cannot be read is a problem, and no error.
    pub fn read(netns: &Netns) -> Result<Self, Error> {
        Ok(in_netns(netns, here)??)
    }

    /// What of the rule set is not seen, and why: a tool that is missing or failed. While there are problems, no rule is
    /// named as a fact.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Tables that are not looked at, since what they hook into is not IP: `bridge filter`, `netdev ingress`.
    pub fn others(&self) -> &[String] {
        &self.others
    }

    /// Whether a table of this name has a chain whose name begins so.
    pub fn has_chain(&self, table: &str, start: &str) -> bool {
        let mut tables = self.tables.iter().filter(|other| other.name == table);
        tables.any(|table| table.chains.keys().any(|chain| chain.starts_with(start)))
    }
}

fn here() -> Result<Rules, netlink::Error> {
    let mut rules = Rules { tables: Vec::new(), places: Places::read()?, problems: Vec::new(), others: Vec::new() };
    let nft_works =
        match tool::run("nft", &["-j", "-n", "list", "ruleset"]).and_then(|text| text.map(nft::parse).transpose()) {
            Ok(Some((tables, others))) => {
                (rules.tables, rules.others) = (tables, others);
                true
            }
            Ok(None) => {
                rules.problems.push("nft is not installed, so nft's rules are not seen".to_owned());
                false
            }
            Err(line) => {
                rules.problems.push(format!("nft's rules are not seen: {line}"));
                false
            }
        };
    for (family, program) in [(Family::Ip, "iptables-nft-save"), (Family::Ip6, "ip6tables-nft-save")] {
        let is_own = |table: &Table| table.family == family && IPTABLES_TABLES.contains(&table.name.as_str());
        if nft_works && !rules.tables.iter().any(is_own) {
            continue;
        }
        // Without this program nft's own reading stays, in which most matches of iptables are opaque.
        if let Ok(Some(text)) = tool::run(program, &[]) {
            for table in iptables::parse(&text, Backend::IptablesNft, family) {
                rules.replace(table);
            }
        }
    }
    let legacy = [
        (Family::Ip, "ip_tables_names", "iptables-legacy-save"),
        (Family::Ip6, "ip6_tables_names", "ip6tables-legacy-save"),
    ];
    for (family, names, program) in legacy {
        // The file is missing where the kernel has no such tables.
        if !fs::read_to_string(format!("/proc/thread-self/net/{names}")).is_ok_and(|names| !names.trim().is_empty()) {
            continue;
        }
        match tool::run(program, &[]) {
            Ok(Some(text)) => rules.tables.extend(iptables::parse(&text, Backend::IptablesLegacy, family)),
            Ok(None) => rules.problems.push(format!("rules of iptables-legacy are not seen: no {program}")),
            Err(line) => rules.problems.push(format!("rules of iptables-legacy are not seen: {line}")),
        }
    }
    if rules.tables.iter().any(nft::is_shown_by_nft) {
        match tool::run("nft", &["-a", "-s", "list", "ruleset"]) {
            Ok(text) => nft::complete(&mut rules.tables, &text.unwrap_or_default()),
            Err(line) => rules.problems.push(format!("nft's rules cannot be shown: {line}")),
        }
    }
    Ok(rules)
}

impl Rules {
    /// Puts iptables' view of a table in the place of nft's, as far as it is the better one.
    fn replace(&mut self, table: Table) {
        let same = |other: &Table| other.family == table.family && other.name == table.name;
        let Some(place) = self.tables.iter_mut().find(|other| same(other)) else {
            self.tables.push(table);
            return;
        };
        if let Some(merged) = nft::merge(place, table) {
            *place = merged;
        }
    }
}
