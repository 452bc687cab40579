//! `netobs diagnose` on real networks: what is broken in them on purpose must be what it names, and nothing else.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod gate;
mod probe;
mod way;

#[path = "../common/mod.rs"]
mod common;
