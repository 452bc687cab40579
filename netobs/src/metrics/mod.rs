//! What the agent tells Prometheus.
//!
//! `table` lists every metric once: the registry, `netobs agent --list-metrics` and the tests read it. `store` keeps the
//! series: counters only grow, what has gone ends, and there are never more than a limit. `series` has them in order,
//! `text` writes them out.

mod series;
mod store;
mod table;
mod text;

pub use store::{Histogram, Source, Store};
pub use table::{Kind, Metric, Row};
pub use text::{CONTENT_TYPE, Exposition};
