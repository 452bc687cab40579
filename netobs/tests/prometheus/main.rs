//! Rules and dashboards: held against the table of metrics, against `promtool`, and against a real Prometheus that
//! scrapes a real agent while the lab is broken in every way it can be.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/records.rs"]
mod records;
#[path = "../agent/served.rs"]
#[expect(dead_code, reason = "the tests of the agent use the rest")]
mod served;
#[path = "../common/tracer.rs"]
mod tracer;

mod dashboard;
mod dashboards;
mod live;
mod query;
mod rules;
mod server;

use std::path::{Path, PathBuf};

use common::{has, is_slow, skip};

/// Where rules and dashboards are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards")
}

/// Whether rules and dashboards are there, and Prometheus to try them; says why not.
fn can_check(test: &str) -> bool {
    if is_slow() {
        skip(test, "no kernel's matter; it runs on real processors (NETOBS_TEST_SLOW=0)");
        return false;
    }
    for program in ["prometheus", "promtool"] {
        if !has(program) {
            skip(test, &format!("no {program}; `cargo xtask test` brings its own"));
            return false;
        }
    }
    true
}
