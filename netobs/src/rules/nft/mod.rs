//! nft's JSON (libnftables-json(5)) and its text.

mod compare;
mod compat;
mod datum;
mod judge;
mod load;
mod set;
mod text;
mod translate;

use serde::Deserialize;
use serde_json::Value;

use super::packet::InetHook;
use super::rule::Backend;
use super::table::{Base, Body, Chain, Entry, Family, Table};

pub(super) use compat::{is_shown_by_nft, merge};
pub(super) use judge::judge;
pub(super) use set::Set;
pub(super) use text::complete;

/// A statement of a rule, as it came.
pub(super) type Statement = Value;

#[derive(Deserialize)]
struct Document {
    nftables: Vec<Object>,
}

/// One object of the list. Others (counters, flowtables, …) have none of these.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    table: Option<TableObject>,
    chain: Option<ChainObject>,
    rule: Option<RuleObject>,
    set: Option<SetObject>,
    map: Option<SetObject>,
}

#[derive(Deserialize)]
struct TableObject {
    family: String,
    name: String,
}

#[derive(Deserialize)]
struct ChainObject {
    family: String,
    table: String,
    name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    hook: Option<String>,
    prio: Option<i32>,
    policy: Option<String>,
}

#[derive(Deserialize)]
struct RuleObject {
    family: String,
    table: String,
    chain: String,
    handle: Option<u64>,
    #[serde(default)]
    expr: Value,
}

#[derive(Deserialize)]
struct SetObject {
    family: String,
    table: String,
    name: String,
    #[serde(default)]
    flags: Value,
    #[serde(default)]
    elem: Vec<Value>,
}

/// Reads what `nft -j -n list ruleset` printed. Tables of families whose chains are not at the hooks of the IP stack are
/// only named.
pub(super) fn parse(text: String) -> Result<(Vec<Table>, Vec<String>), String> {
    let document: Document =
        serde_json::from_str(&text).map_err(|error| format!("nft printed what is not understood: {error}"))?;
    let (mut tables, mut others) = (Vec::new(), Vec::new());
    for object in document.nftables {
        if let Some(table) = object.table {
            match Family::from_name(&table.family) {
                Some(family) => tables.push(Table::new(Backend::Nft, family, &table.name)),
                None => others.push(format!("{} {}", table.family, table.name)),
            }
        }
        if let Some(chain) = object.chain
            && let Some(table) = find(&mut tables, &chain.family, &chain.table)
        {
            let base = base(&chain);
            table.chains.insert(chain.name, Chain { base, rules: Vec::new() });
        }
        if let Some(rule) = object.rule
            && let Some(table) = find(&mut tables, &rule.family, &rule.table)
        {
            add(table, rule);
        }
        for set in [object.set, object.map].into_iter().flatten() {
            if let Some(table) = find(&mut tables, &set.family, &set.table) {
                // A set may be listed after a rule that fills it.
                let own = table.sets.entry(set.name).or_default();
                own.filled_by_rules |= set::has_flag(&set.flags, "dynamic");
                own.elements = set.elem;
            }
        }
    }
    Ok((tables, others))
}

fn find<'a>(tables: &'a mut [Table], family: &str, name: &str) -> Option<&'a mut Table> {
    tables.iter_mut().find(|table| table.family.name() == family && table.name == name)
}

fn base(chain: &ChainObject) -> Option<Base> {
    Some(Base {
        hook: InetHook::from_name(chain.hook.as_deref()?)?,
        priority: chain.prio?,
        drops: chain.policy.as_deref() == Some("drop"),
        nat: chain.kind.as_deref() == Some("nat"),
    })
}

fn add(table: &mut Table, rule: RuleObject) {
    let text = rule.expr.to_string();
    let statements = match rule.expr {
        Value::Array(statements) => statements,
        other => vec![other],
    };
    for name in statements.iter().filter_map(set::filled) {
        table.sets.entry(name.to_owned()).or_default().filled_by_rules = true;
    }
    let Some(chain) = table.chains.get_mut(&rule.chain) else { return };
    let position = u32::try_from(chain.rules.len()).unwrap_or(u32::MAX).saturating_add(1);
    chain.rules.push(Entry { backend: Backend::Nft, position, handle: rule.handle, text, body: Body::Nft(statements) });
}
