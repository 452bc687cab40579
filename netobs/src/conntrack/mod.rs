//! Connection tracking per namespace, over ctnetlink: how full the table is, what the kernel counted, and who fills it.
//!
//! The figures are those of `conntrack -C` and `conntrack -S` in the same namespace, read from the same place. Nothing
//! is tracked, changed or loaded by looking, but for `nf_conntrack_netlink` where the kernel has it as a module: it
//! answers the questions.

mod counters;
mod loaded;
mod pressure;
mod socket;
mod sources;
mod survey;

pub use counters::{Counter, CpuCounters, Statistics, Totals};
pub use loaded::is_loaded;
pub use pressure::{Growth, Pressure};
pub use socket::{Sample, Socket, Table};
pub use sources::Sources;
pub use survey::{Depth, Report, Survey, Wanted};
