//! One trace, from attaching to the summary.

mod firewall;
mod info;
mod mss;
mod narrate;
mod neighbour;
mod order;
mod route;
mod run;
mod time;

pub use narrate::Narrator;
pub use run::{Limits, Stop, Trace};
pub(crate) use time::monotonic;
