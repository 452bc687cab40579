use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::LabName;

/// What went wrong with a lab.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a name for a lab.
    #[error("`{name}` cannot be a lab's name: lower-case letters, digits and `-`, at most {longest}, not `-` first")]
    BadName {
        /// What was asked for.
        name: String,
        /// The most characters a name may have.
        longest: usize,
    },
    /// There is no lab of this name.
    #[error("there is no lab `{0}` (`netobs lab status` lists them, `netobs lab up` makes one)")]
    NoSuchLab(LabName),
    /// No lab is up, so there is no node of any name.
    #[error("no lab is up (`netobs lab up` makes one)")]
    NoLab,
    /// There is no node of this name.
    #[error("there is no node `{node}`; there are: {known}")]
    NoSuchNode {
        /// What was asked for.
        node: String,
        /// What there is.
        known: String,
    },
    /// Several labs have such a node.
    #[error("`{node}` could be any of {candidates}; give --name, or the whole name")]
    Ambiguous {
        /// What was asked for.
        node: String,
        /// What it could be.
        candidates: String,
    },
    /// A namespace that is not ours has the name that a node would get.
    #[error("a network namespace `{0}` exists already and is not this lab's; remove it, or choose another --name")]
    Taken(String),
    /// A lab that is up was not as its topology says, and could not be made so.
    #[error("{cause}; `{again}` builds lab `{lab}` anew, `netobs lab down {lab}` removes it")]
    NotMended {
        /// The lab.
        lab: LabName,
        /// What builds it.
        again: String,
        /// What failed.
        cause: Box<Error>,
    },
    /// Something that is not the lab's has the name of a device of it.
    #[error("{node} has a device `{device}` that is not the lab's; remove or rename it")]
    InTheWay {
        /// The node.
        node: String,
        /// The device.
        device: String,
    },
    /// A device that a node is to have is not there to be lent.
    #[error("this machine has no device `{0}` that can be lent: it is not there, is `lo`, or is a port of a bridge")]
    NothingToLend(String),
    /// A lent device can only be given back by somebody in the namespace it came from.
    #[error("device `{device}` was lent by network namespace {from}; run `netobs lab down` there")]
    Elsewhere {
        /// The device.
        device: String,
        /// The namespace it came from.
        from: crate::netns::NetnsInode,
    },
    /// Ctrl-C, or a request to end, while a lab was mended.
    #[error("interrupted halfway")]
    Stopped,
    /// The lab's own network namespace is where the caller is.
    #[error("this shell is inside lab `{0}`: leave it first, since removing the lab ends everything inside")]
    Inside(LabName),
    /// A topology that cannot be built.
    #[error("topology `{topology}`: {}", .mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Topology {
        /// Its name.
        topology: String,
        /// What is wrong with it.
        mistakes: Vec<super::Mistake>,
    },
    /// The lab needs `nft` and there is none.
    #[error("the lab's NAT rules need the program `nft` (package nftables), and it is not in PATH")]
    NoNft,
    /// `nft` refused the rules.
    #[error("load the NAT rules of {node}: nft: {message}")]
    Nft {
        /// The node.
        node: String,
        /// What `nft` said, on one line.
        message: String,
    },
    /// A namespace could not be used.
    #[error(transparent)]
    Netns(#[from] crate::netns::Error),
    /// The kernel refused a link, address or route.
    #[error("{node}: {source}")]
    Netlink {
        /// The node.
        node: String,
        /// The operation, the object and the kernel's answer.
        source: crate::netlink::Error,
    },
    /// Making the namespaces is not permitted.
    #[error("make the namespaces of {node}: {source}")]
    Clone {
        /// The node.
        node: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// PID 1 of a node did not get its node ready.
    #[error("prepare {node}: {message}")]
    Init {
        /// The node.
        node: String,
        /// What it said.
        message: String,
    },
    /// The lab was built but packets do not pass.
    #[error("the lab is not ready after {} s: {missing}", .after.as_secs())]
    NotReady {
        /// How long it was waited for.
        after: Duration,
        /// What is still missing.
        missing: String,
    },
    /// A node's PID 1 has ended.
    #[error("{namespace} is not running any more; `netobs lab status` says what is missing")]
    Dead {
        /// The node's namespace.
        namespace: String,
    },
    /// A command could not be started in a node.
    #[error("run {command} in {namespace}: {source}")]
    Command {
        /// What was to be run.
        command: String,
        /// The node's namespace.
        namespace: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Ctrl-C, or a request to end.
    #[error("interrupted; what had been built is removed again")]
    Interrupted,
    /// The state file is not ours, or of another version.
    #[error("{path} cannot be understood: {reason}")]
    BadState {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// The operation and its object.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A failure, and what could not be undone after it.
    #[error("{cause}; and removing what had been built failed: {undo}")]
    Undo {
        /// Why the lab was not built.
        cause: Box<Error>,
        /// Why it was not removed, either.
        undo: Box<Error>,
    },
    /// Removing the lab left something behind.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<Error>),
}

impl Error {
    /// An [`Error::Io`] for this operation and object.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The same for calls made through `nix`.
    pub(super) fn os(what: impl Into<String>) -> impl FnOnce(nix::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, source: error.into() }
    }

    /// An [`Error::Netlink`] in this node.
    pub(super) fn netlink(node: &str) -> impl FnOnce(crate::netlink::Error) -> Self {
        let node = node.to_owned();
        move |source| Self::Netlink { node, source }
    }
}

/// A result whose error names the operation and the object.
pub type Result<T> = std::result::Result<T, Error>;
