//! netobs shows every hop of a container's packet through the Linux kernel, and says where and why it died.
//!
//! Data goes one way: `probe` loads and attaches the eBPF programs, `event` decodes what they record,
//! `journey` joins the events of one packet, `explain` and `state` give it names and meaning, `output` prints it.
//! `lab` builds the network to try it on. `cli` holds only arguments and the wiring.

pub mod cli;
pub mod filter;
pub mod output;
pub mod refusal;
