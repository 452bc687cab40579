//! `netobs trace` as its users meet it: the real binary, the default lab, the running kernel.
//!
//! The machine may have other traffic, so each test looks at its own lab's packets only.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/records.rs"]
mod records;
#[path = "../common/tracer.rs"]
mod tracer;

mod attaching;
mod drops;
mod ending;
mod flood;
mod identity;
mod ping;
mod refusals;
mod tcp;
