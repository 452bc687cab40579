//! A node's NAT rules, loaded by `nft` in a table of the lab's own, so that rules of the user's stay apart.

use std::borrow::Cow;
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
use crate::netns::{Netns, in_netns};

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
    !node.masquerade.is_empty() || !node.published.is_empty()
}

/// Loads a node's rules, if it has any.
pub(super) fn load(topology: &Topology, node: &Node, netns: &Netns) -> Result<()> {
    if !needs_rules(node) {
        return Ok(());
    }
    let failed = |message: String| Error::Nft { node: node.name.clone(), message };
    let text = serde_json::to_string(&rules(topology, node)).map_err(|error| failed(error.to_string()))?;
    in_netns(netns, || nft(&["-j", "-f", "-"], &text))?.map_err(|error| failed(error.to_string())).map(drop)
}

/// Whether the table is there.
pub(super) fn is_loaded(netns: &Netns) -> Result<bool> {
    Ok(in_netns(netns, || nft(&["list", "table", "ip", TABLE], ""))?.is_ok())
}

/// Runs `nft` in the calling thread's namespace. What it says about a failure becomes one line.
fn nft(arguments: &[&str], input: &str) -> io::Result<String> {
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

fn rules<'a>(topology: &'a Topology, node: &'a Node) -> Nftables<'a> {
    let mut batch = Batch::new();
    batch.add(NfListObject::Table(Table { family: NfFamily::IP, name: TABLE.into(), handle: None }));
    batch.add(chain("prerouting", NfHook::Prerouting, DSTNAT));
    batch.add(chain("postrouting", NfHook::Postrouting, SRCNAT));
    for published in &node.published {
        let own = topology.addresses_of(node).filter(|(_, prefix)| prefix.address.is_ipv4());
        let own = own.map(|(_, prefix)| SetItem::Element(text(prefix.address))).collect();
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
    for hidden in &node.masquerade {
        let source = Prefix { addr: Box::new(text(hidden.source.address)), len: u32::from(hidden.source.length) };
        let leaving = Expression::Named(NamedExpression::Meta(Meta { key: MetaKey::Oifname }));
        let except = Expression::String(hidden.except.as_str().into());
        batch.add(rule(
            "postrouting",
            vec![
                equal(field("ip", "saddr"), Expression::Named(NamedExpression::Prefix(source))),
                Statement::Match(Match { left: leaving, right: except, op: Operator::NEQ }),
                counter(),
                Statement::Masquerade(None),
            ],
        ));
    }
    batch.to_nftables()
}

fn chain(name: &str, hook: NfHook, priority: i32) -> NfListObject<'_> {
    NfListObject::Chain(Chain {
        family: NfFamily::IP,
        table: TABLE.into(),
        name: name.into(),
        _type: Some(NfChainType::NAT),
        hook: Some(hook),
        prio: Some(priority),
        policy: Some(NfChainPolicy::Accept),
        ..Chain::default()
    })
}

fn rule<'a>(chain: &'a str, statements: Vec<Statement<'a>>) -> NfListObject<'a> {
    NfListObject::Rule(Rule {
        family: NfFamily::IP,
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
    use super::rules;

    #[test]
    fn writes_the_default_labs_rules() {
        let topology = default_topology();
        let host = topology.node("host").unwrap();
        let json = serde_json::to_string(&rules(&topology, host)).unwrap();
        assert!(json.contains(r#""dnat":{"addr":"10.40.0.2","port":80}"#), "{json}");
        assert!(json.contains(r#""set":["10.40.0.1","203.0.113.2"]"#), "{json}");
        assert!(json.contains(r#""prefix":{"addr":"10.40.0.0","len":24}"#), "{json}");
    }
}
