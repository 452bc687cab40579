//! `netobs diagnose` on real networks: what is broken in them on purpose must be what it names, and nothing else.

#[path = "../common/mod.rs"]
mod common;
