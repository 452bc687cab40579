//! The agent: counts in the kernel for as long as it runs, and tells Prometheus when asked.
//!
//! `census` knows the namespaces and their names, `watch` keeps it up to date, `collection` reads everything once for
//! each scrape, `server` answers it. Nothing per packet reaches user space.

mod census;
mod collection;
mod config;
mod container;
mod drops;
mod hops;
mod inside;
mod server;
mod snmp;
mod watch;

pub use collection::Options;
pub use config::{Config, ConfigError};
pub use server::{Bound, listen};
