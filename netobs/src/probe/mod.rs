//! Loads and attaches the programs, and says what could not be attached and why.

mod counters;
pub mod drops;
mod functions;
mod hooks;
mod hop_counter;
mod kernel;
mod kprobe;
pub mod mib;
mod misses;
pub mod nat;
mod netfilter;
mod object;
mod raw;
mod reasons;
mod refusal;
mod rows;
mod session;
pub mod tc;

pub use counters::Losses;
pub use hooks::{HookRow, Kind, hooks};
pub use hop_counter::{HopCount, HopCounter, HopLatency, HopProgram};
pub use kernel::{Kernel, KernelError};
pub use misses::ProgramRuns;
pub use session::{Depth, ProbeError, ProbeStatus, Selection, Session};
