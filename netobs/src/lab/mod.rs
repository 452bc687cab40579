//! The lab: a small container network made of real containers, to trace, break and mend.
//!
//! [`up`] reads a [`Topology`] and builds it over netlink; [`down`] removes it again, in whatever state it is. What a
//! lab consists of is written to a [`State`] file before any of it is made, so a lab whose builder was killed is found
//! and removed as well, and nothing else is.
//!
//! Each node is a process that is PID 1 of its own PID, mount, UTS, IPC and network namespaces. Links are made inside
//! the nodes' namespaces: the machine's own never sees any of them.

pub mod graph;
pub mod init;
pub mod scenario;

mod build;
mod cgroup;
mod container;
mod difference;
mod dns;
mod error;
mod etc;
mod exec;
mod find;
mod http;
mod interrupt;
mod lend;
mod lock;
mod mend;
mod name;
mod nat;
mod pin;
mod probe;
mod process;
mod ready;
mod server;
mod state;
mod status;
mod strangers;
mod sysctl;
mod teardown;
mod topology;
mod typed;
mod wire;

pub use build::{Built, up, up_from};
pub use error::{Error, Result};
pub use exec::exec;
pub use find::{NodeHandle, find_node};
pub use lend::Loan;
pub use name::LabName;
pub use state::{NodeState, Phase, State};
pub use status::{Health, LabStatus, NodeStatus, status};
pub use teardown::{Removed, down};
pub use topology::{
    Bridge, Builtin, Device, End, Experiment, Lent, Link, Masquerade, Mistake, Mistakes, Node, NotAPrefix, Place,
    Prefix, Protocol, Published, Route, Service, Snat, Step, Topology, Vxlan, default_topology, find as find_topology,
    parse as parse_topology, schema as topology_schema,
};
pub use typed::name_option;
