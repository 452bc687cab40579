//! `netobs drops` as its users meet it: the real binary, real drops in namespaces of the test's own, and the kernel's own
//! counters beside it.
//!
//! The machine may drop other packets, so each test looks at its own namespaces' rows only.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "../common/bed.rs"]
mod bed;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/counting.rs"]
mod counting;
#[path = "../common/records.rs"]
mod records;
#[path = "../common/tracer.rs"]
mod tracer;

mod ending;
mod exact;
mod filter;
mod flood;
mod names;
mod refusals;
