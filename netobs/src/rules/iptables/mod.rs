//! `iptables-save`'s text: tables, chains and rules.

mod condition;
mod judge;
mod number;
mod specification;
mod target;
mod tracking;
mod words;

use super::packet::InetHook;
use super::rule::Backend;
use super::table::{Base, Body, Chain, Entry, Family, Table};

pub(super) use judge::judge;
pub(super) use specification::Specification;

/// Reads what `iptables-save` printed. A table that is not iptables' own (`# Table `x' is incompatible`) is not there.
pub(super) fn parse(text: &str, backend: Backend, family: Family) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            tables.push(Table::new(backend, family, name.trim()));
        } else if let Some(table) = tables.last_mut() {
            read(table, line);
        }
    }
    tables
}

fn read(table: &mut Table, line: &str) {
    let mut words = line.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        // `:FORWARD DROP [0:0]`, and `-` instead of a policy for a user's chain.
        (Some(chain), Some(policy), _) if chain.starts_with(':') => {
            let chain = chain.trim_start_matches(':');
            let base = base(&table.name, chain, policy);
            table.chains.insert(chain.to_owned(), Chain { base, rules: Vec::new() });
        }
        (Some("-A"), Some(name), rest) => {
            let Some(chain) = table.chains.get_mut(name) else { return };
            let position = u32::try_from(chain.rules.len()).unwrap_or(u32::MAX).saturating_add(1);
            let body = Body::Iptables(Specification::parse(rest.unwrap_or_default()));
            chain.rules.push(Entry { backend: table.backend, position, handle: None, text: line.to_owned(), body });
        }
        _ => {}
    }
}

/// Where a built-in chain is hooked in (`<linux/netfilter_ipv4.h>`; the tables' own `packet_filter` structs).
fn base(table: &str, chain: &str, policy: &str) -> Option<Base> {
    let drops = match policy {
        "DROP" => true,
        "ACCEPT" => false,
        _ => return None,
    };
    let hook = match chain {
        "PREROUTING" => InetHook::Prerouting,
        "INPUT" => InetHook::Input,
        "FORWARD" => InetHook::Forward,
        "OUTPUT" => InetHook::Output,
        "POSTROUTING" => InetHook::Postrouting,
        _ => return None,
    };
    let priority = match (table, hook) {
        ("raw", _) => -300,
        ("mangle", _) => -150,
        ("nat", InetHook::Prerouting | InetHook::Output) => -100,
        ("nat", _) => 100,
        ("filter", _) => 0,
        ("security", _) => 50,
        _ => return None,
    };
    Some(Base { hook, priority, drops, nat: table == "nat" })
}
