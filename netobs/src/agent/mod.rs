//! The agent: counts in the kernel for as long as it runs, and tells Prometheus and others when asked.
//!
//! `census` knows the namespaces and their names, `watch` keeps it up to date, `collection` reads everything once for
//! each scrape. `server` is the agent's life, from its address to its end; `connections` takes whoever comes, `pages`
//! answers. Nothing per packet reaches user space.
//!
//! # Pages
//!
//! Everything is read with `GET`. Another path is answered with 404, another method with 405, each with a line of text.
//!
//! | path | answer |
//! |---|---|
//! | `/` | a list of these |
//! | `/metrics` | text for Prometheus |
//! | `/healthz`, `/readyz` | 200, or 503 until the programs are attached; never with a password |
//! | `/api/v1/drops` | an array of rows as `netobs drops --format json` has them, since the agent started; see below |
//! | `/api/v1/conntrack` | an array of records as `netobs conntrack --format json` has them |
//! | `/api/v1/topology` | [`TopologyRecord`](crate::output::topology::TopologyRecord) |
//!
//! A row of drops is `{"type":"drop", "reason", "reason_number", "function", "netns", "netns_inode", "device", "ifindex",
//! "proto", "count", "cause", "fault", "explanation", "causes": […], "look": […]}`, the most first. The agent's table does
//! not tell devices and protocols apart: these three are null. In a record of connection tracking, what happened `during`
//! an interval is what happened since somebody asked last, if that is not too long ago.

mod auth;
mod census;
mod collection;
mod config;
mod connections;
mod drops;
mod hops;
mod inside;
mod inventory;
mod links;
mod nat;
mod notify;
mod pages;
mod pins;
mod privileges;
mod rows;
mod server;
mod settings;
mod snmp;
mod strangers;
mod tls;
mod watch;
mod worker;

pub use collection::Options;
pub use config::{Config, ConfigError};
pub use privileges::{PRIVILEGES, Privilege};
pub use server::{Again, Bound, Plan, listen};
pub use settings::Settings;
