//! netobs shows every hop of a container's packet through the Linux kernel, and says where and why it died.
//!
//! Data goes one way: `probe` loads and attaches the eBPF programs, `event` decodes what they record,
//! `journey` joins the events of one packet, `explain` and `state` give it names and meaning, `output` prints it.
//! `diagnose` walks the way of a packet and says where it ends.
//! `agent` counts for as long as it runs and serves `metrics`. `lab` builds the network to try it on. `cli` holds only arguments and the wiring.

pub mod agent;
pub mod btf;
pub mod cli;
pub mod conntrack;
pub mod container;
pub mod diagnose;
pub mod drops;
pub mod event;
pub mod evidence;
pub mod explain;
pub mod filter;
pub mod journey;
pub mod lab;
pub mod metrics;
pub mod netlink;
pub mod netns;
pub mod output;
pub mod probe;
pub mod refusal;
pub mod rules;
pub mod state;
pub mod symbols;
pub mod topology;
pub mod trace;
