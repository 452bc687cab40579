//! The rule that dropped, compared with the kernel: a real packet is sent through a real rule set, and the rule that is
//! named must be the one whose counter rose.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper that fails is a test that fails")]

mod iptables;
mod nat;
mod network;
mod nft;
mod passage;
mod random;

#[path = "../common/mod.rs"]
mod common;
