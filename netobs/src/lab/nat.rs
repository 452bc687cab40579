//! A node's NAT rules, loaded by `nft` in a table of the lab's own, so that rules of the user's stay apart.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::env;
use std::io::{self, Write};
use std::net::IpAddr;
use std::process::{Command, Stdio};

use nftables::batch::Batch;
use nftables::expr::{Expression, Meta, MetaKey, NamedExpression, Payload, PayloadField, Prefix, SetItem};
use nftables::schema::{Chain, NfListObject, Nftables, Rule, Table};
use nftables::stmt::{Counter, Match, NAT, Operator, Statement};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};

use super::topology::{Node, Topology};
use super::{Error, Result};
use crate::netns::{Netns, fresh_netns, in_netns};

/// Not `nat`: that is the name `iptables` takes for its own.
pub(super) const TABLE: &str = "lab";
// <linux/netfilter_ipv4.h>: NF_IP_PRI_NAT_DST and NF_IP_PRI_NAT_SRC.
const DSTNAT: i32 = -100;
const SRCNAT: i32 = 100;

/// Whether the topology's rules can be loaded at all.
pub(super) fn check(topology: &Topology) -> Result<()> {
    let needed = topology.nodes.iter().any(needs_rules);
    let path = env::var_os("PATH").unwrap_or_default();
    if needed && !env::split_paths(&path).any(|folder| folder.join("nft").is_file()) {
        return Err(Error::NoNft);
    }
    Ok(())
}

/// Whether a node has rules.
pub(super) fn needs_rules(node: &Node) -> bool {
    !node.masquerade.is_empty() || !node.snat.is_empty() || !node.published.is_empty()
}

/// The families that a node has rules for: its tables are apart, as `iptables` and `ip6tables` are.
fn families(node: &Node) -> impl Iterator<Item = Family> {
    let v4 = !node.published.is_empty();
    let sources = node.masquerade.iter().map(|hidden| hidden.source).chain(node.snat.iter().map(|snat| snat.source));
    let sources: Vec<bool> = sources.map(|source| source.address.is_ipv4()).collect();
    let needed = move |family: &Family| match family {
        Family::Ipv4 => v4 || sources.contains(&true),
        Family::Ipv6 => sources.contains(&false),
    };
    [Family::Ipv4, Family::Ipv6].into_iter().filter(needed)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    /// What `nft` calls it, both as a table's family and as a protocol.
    const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ip",
            Self::Ipv6 => "ip6",
        }
    }

    const fn nft(self) -> NfFamily {
        match self {
            Self::Ipv4 => NfFamily::IP,
            Self::Ipv6 => NfFamily::IP6,
        }
    }

    fn is_of(self, prefix: &super::Prefix) -> bool {
        prefix.address.is_ipv4() == (self == Self::Ipv4)
    }
}

/// What a namespace may hold before rules are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// It is new.
    Nothing,
    /// Tables of the lab's name, with whatever is in them.
    Tables,
}

/// Loads a node's rules, if it has any, into its new namespace.
pub(super) fn load(topology: &Topology, node: &Node, netns: &Netns) -> Result<()> {
    load_after(Before::Nothing, topology, node, netns)
}

fn load_after(before: Before, topology: &Topology, node: &Node, netns: &Netns) -> Result<()> {
    if !needs_rules(node) {
        return Ok(());
    }
    let failed = |message: String| Error::Nft { node: node.name.clone(), message };
    let text = serde_json::to_string(&rules(before, topology, node)).map_err(|error| failed(error.to_string()))?;
    in_netns(netns, || nft(&["-j", "-f", "-"], &text))?.map_err(|error| failed(error.to_string())).map(drop)
}

/// Makes a node's rules what its topology says, if they are not. Returns how they differed.
pub(super) fn mend(topology: &Topology, node: &Node, netns: &Netns) -> Result<Vec<String>> {
    let mut differing = differences(topology, node, netns)?;
    if !differing.is_empty() {
        load_after(Before::Tables, topology, node, netns)?;
    }
    for family in [Family::Ipv4, Family::Ipv6].into_iter().filter(|family| !families(node).any(|own| own == *family)) {
        // Rules that an earlier topology had; that there are none is the rule.
        let delete = ["delete", "table", family.name(), TABLE];
        if in_netns(netns, || nft(&delete, ""))?.is_ok() {
            differing.push(format!("nft table {} {TABLE} is in no topology", family.name()));
        }
    }
    Ok(differing)
}

/// How the rules in a node's namespace differ from what its topology says. What they should look like is what the
/// kernel shows of them in a namespace where nobody else can have touched them.
pub(super) fn differences(topology: &Topology, node: &Node, netns: &Netns) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    if !needs_rules(node) {
        return Ok(differences);
    }
    let untouched = fresh_netns().map_err(Error::io("make a network namespace"))?;
    load(topology, node, &untouched)?;
    for family in families(node).map(Family::name) {
        // -s: without the counters.
        let list = |netns| in_netns(netns, || nft(&["-s", "list", "table", family, TABLE], ""));
        match (list(netns)?, list(&untouched)?) {
            (Err(_), _) => differences.push(format!("nft table {family} {TABLE} is gone")),
            (Ok(found), Ok(wanted)) if found != wanted => {
                differences.push(format!("nft table {family} {TABLE} {}", first_difference(&found, &wanted)));
            }
            (Ok(_), _) => {}
        }
    }
    Ok(differences)
}

fn first_difference(found: &str, wanted: &str) -> String {
    let lacks = |lines: &str, line: &&str| !lines.lines().any(|other| other == *line);
    match (wanted.lines().find(|line| lacks(found, line)), found.lines().find(|line| lacks(wanted, line))) {
        (Some(missing), _) => format!("lacks `{}`", missing.trim()),
        (None, Some(added)) => format!("has `{}` besides", added.trim()),
        (None, None) => "has its lines in another order".to_owned(),
    }
}

/// Runs `nft` in the calling thread's namespace. What it says about a failure becomes one line.
pub(super) fn nft(arguments: &[&str], input: &str) -> io::Result<String> {
    let mut command = Command::new("nft");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // It may end without reading; what it says then tells more than the broken pipe.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("failed without a word");
    Err(io::Error::other(line.to_owned()))
}

fn rules<'a>(before: Before, topology: &'a Topology, node: &'a Node) -> Nftables<'a> {
    let mut batch = Batch::new();
    for family in families(node) {
        let table = || NfListObject::Table(Table { family: family.nft(), name: TABLE.into(), handle: None });
        if before == Before::Tables {
            // Made so that it can be removed, and made anew, all in one transaction. For what is removed `nft` waits until
            // no packet can meet it any more (a grace period of RCU, some 15 ms).
            batch.add(table());
            batch.delete(table());
        }
        batch.add(table());
        add_rules(&mut batch, topology, node, family);
    }
    batch.to_nftables()
}

fn add_rules<'a>(batch: &mut Batch<'a>, topology: &'a Topology, node: &'a Node, family: Family) {
    let chain = |name, hook, priority| chain(family, name, hook, priority);
    let rule = |chain, statements| rule(family, chain, statements);
    batch.add(chain("prerouting", NfHook::Prerouting, DSTNAT));
    batch.add(chain("postrouting", NfHook::Postrouting, SRCNAT));
    for published in node.published.iter().filter(|_| family == Family::Ipv4) {
        let own = topology.addresses_of(node).map(|(_, prefix)| prefix.address).filter(IpAddr::is_ipv4);
        // A set does not take an element twice, and two devices may share an address.
        let own: BTreeSet<IpAddr> = own.collect();
        let own = own.into_iter().map(|address| SetItem::Element(text(address))).collect();
        let protocol = published.protocol.to_string();
        let target = topology.first_ipv4(&published.to).map(|address| text(IpAddr::V4(address)));
        let to = NAT { addr: target, family: None, port: Some(number(published.to_port)), flags: None };
        batch.add(rule(
            "prerouting",
            vec![
                equal(field("ip", "daddr"), Expression::Named(NamedExpression::Set(own))),
                equal(field(protocol, "dport"), number(published.port)),
                counter(),
                Statement::DNAT(Some(to)),
            ],
        ));
    }
    let name = family.name();
    for snat in node.snat.iter().filter(|snat| family.is_of(&snat.source)) {
        let to = NAT { addr: Some(text(snat.to)), family: None, port: None, flags: None };
        batch.add(rule(
            "postrouting",
            vec![
                equal(field(name, "saddr"), prefix(&snat.source)),
                equal(leaving(), Expression::String(snat.device.as_str().into())),
                counter(),
                Statement::SNAT(Some(to)),
            ],
        ));
    }
    for hidden in node.masquerade.iter().filter(|hidden| family.is_of(&hidden.source)) {
        let except = Expression::String(hidden.except.as_str().into());
        batch.add(rule(
            "postrouting",
            vec![
                equal(field(name, "saddr"), prefix(&hidden.source)),
                Statement::Match(Match { left: leaving(), right: except, op: Operator::NEQ }),
                counter(),
                Statement::Masquerade(None),
            ],
        ));
    }
}

fn prefix<'a>(prefix: &super::Prefix) -> Expression<'a> {
    let (address, length) = (text(prefix.address), u32::from(prefix.length));
    Expression::Named(NamedExpression::Prefix(Prefix { addr: Box::new(address), len: length }))
}

/// The device a packet leaves by.
fn leaving<'a>() -> Expression<'a> {
    Expression::Named(NamedExpression::Meta(Meta { key: MetaKey::Oifname }))
}

fn chain(family: Family, name: &str, hook: NfHook, priority: i32) -> NfListObject<'_> {
    NfListObject::Chain(Chain {
        family: family.nft(),
        table: TABLE.into(),
        name: name.into(),
        _type: Some(NfChainType::NAT),
        hook: Some(hook),
        prio: Some(priority),
        policy: Some(NfChainPolicy::Accept),
        ..Chain::default()
    })
}

fn rule<'a>(family: Family, chain: &'a str, statements: Vec<Statement<'a>>) -> NfListObject<'a> {
    NfListObject::Rule(Rule {
        family: family.nft(),
        table: TABLE.into(),
        chain: chain.into(),
        expr: statements.into(),
        ..Rule::default()
    })
}

fn equal<'a>(left: Expression<'a>, right: Expression<'a>) -> Statement<'a> {
    Statement::Match(Match { left, right, op: Operator::EQ })
}

fn field<'a>(protocol: impl Into<Cow<'a, str>>, field: &'a str) -> Expression<'a> {
    let field = PayloadField { protocol: protocol.into(), field: field.into() };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

/// Counted, so that a rule that never matches can be told from one that does.
fn counter<'a>() -> Statement<'a> {
    Statement::Counter(Counter::Anonymous(None))
}

fn text<'a>(address: IpAddr) -> Expression<'a> {
    Expression::String(address.to_string().into())
}

fn number<'a>(port: u16) -> Expression<'a> {
    Expression::Number(u32::from(port))
}

#[cfg(test)]
mod tests {
    use super::super::default_topology;
    use super::{Before, rules};

    #[test]
    fn writes_the_default_labs_rules() {
        let topology = default_topology();
        let host = topology.node("host").unwrap();
        let json = serde_json::to_string(&rules(Before::Nothing, &topology, host)).unwrap();
        assert!(json.contains(r#""dnat":{"addr":"10.40.0.2","port":80}"#), "{json}");
        assert!(json.contains(r#""set":["10.40.0.1","203.0.113.2"]"#), "{json}");
        assert!(json.contains(r#""prefix":{"addr":"10.40.0.0","len":24}"#), "{json}");
    }
}
