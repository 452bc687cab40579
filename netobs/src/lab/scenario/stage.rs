//! A lab that a scenario plays in, and the things of it that steps and checks take hold of.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::super::init::OWN;
use super::super::state::{NodeState, State};
use super::super::{Error, LabName, Node, Result};
use super::step::Typed;
use crate::netns::Netns;

/// A lab that is up.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) lab: LabName,
    pub(super) state: State,
}

impl Stage {
    /// The lab of this name.
    pub(super) fn of(lab: &LabName) -> Result<Self> {
        let state = State::load(lab)?.ok_or_else(|| Error::NoSuchLab(lab.clone()))?;
        Ok(Self { lab: lab.clone(), state })
    }

    /// What stands for a node.
    pub(super) fn node(&self, name: &str) -> Result<&NodeState> {
        self.state.node(name).ok_or_else(|| Error::NoSuchNode {
            node: name.to_owned(),
            known: self.state.nodes.iter().map(|node| node.node.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// What the topology says of a node.
    pub(super) fn described(&self, name: &str) -> Result<&Node> {
        self.node(name)?;
        self.state.topology.node(name).ok_or_else(|| Error::NoSuchNode { node: name.to_owned(), known: String::new() })
    }

    /// Its network namespace.
    pub(super) fn netns(&self, name: &str) -> Result<Netns> {
        Ok(Netns::pinned(&self.node(name)?.namespace)?)
    }

    /// How a person would speak of a node.
    pub(super) fn typed<'a>(&'a self, node: &'a str) -> Typed<'a> {
        let netns = self.state.node(node).map_or(node, |state| state.namespace.as_str());
        Typed { lab: &self.state, netns, node }
    }

    /// The node's own `/etc/resolv.conf`, by the path under which no link can lead out of the node.
    fn resolv_conf(&self, node: &str) -> Result<PathBuf> {
        let state = self.node(node)?;
        let init = state.init.ok_or_else(|| Error::Dead { namespace: state.namespace.clone() })?;
        Ok(PathBuf::from(format!("/proc/{}/root{OWN}/resolv.conf", init.pid)))
    }

    /// The first name server that the node asks.
    pub(super) fn resolver(&self, node: &str) -> Result<IpAddr> {
        let path = self.resolv_conf(node)?;
        let failed = Error::io(format!("{node}: read resolv.conf"));
        let text = fs::read_to_string(path).map_err(failed)?;
        let server = |line: &str| line.strip_prefix("nameserver ").and_then(|server| server.trim().parse().ok());
        text.lines().find_map(server).ok_or_else(|| Error::Io {
            what: format!("{node}: read resolv.conf"),
            source: io::Error::other("it names no server"),
        })
    }

    /// Makes this the node's only name server.
    pub(super) fn set_resolver(&self, node: &str, server: IpAddr) -> Result<()> {
        let path = self.resolv_conf(node)?;
        let write = || -> io::Result<()> {
            use io::Write;
            let mut file = OpenOptions::new().write(true).truncate(true).custom_flags(libc::O_NOFOLLOW).open(&path)?;
            file.write_all(format!("nameserver {server}\noptions timeout:1 attempts:1\n").as_bytes())
        };
        write().map_err(Error::io(format!("{node}: write resolv.conf")))
    }
}
