//! `netobs agent` as Prometheus meets it: the real binary, scraped over HTTP, beside the kernel's own counters of
//! namespaces of the test's own.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

#[path = "../common/bed.rs"]
mod bed;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/conntrack.rs"]
mod conntrack;
#[path = "../common/engines/mod.rs"]
mod engines;
#[path = "../common/records.rs"]
mod records;
#[path = "../common/tracepoint.rs"]
mod tracepoint;
#[path = "../common/tracer.rs"]
mod tracer;

mod api;
mod churn;
mod connections;
mod containers;
mod crowd;
mod deployment;
mod ending;
mod figures;
mod http;
mod million;
mod names;
mod privileges;
mod refusals;
mod served;
mod settings;
mod systemd;
mod unit;
