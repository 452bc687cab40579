//! Loads and attaches the programs, and says what could not be attached and why.

mod counters;
mod hooks;
mod kernel;
mod misses;
mod object;
mod session;
pub mod tc;

pub use counters::Losses;
pub use hooks::{HOOKS, HookRow, Kind};
pub use kernel::{Kernel, KernelError};
pub use session::{ProbeError, ProbeStatus, Selection, Session};
