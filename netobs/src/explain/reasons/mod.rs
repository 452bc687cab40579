//! The tables. To teach netobs a reason, add a row; `tests.rs` checks lengths, doubles and completeness.
//!
//! A row with functions holds only there. The functions are where the kernel's `kfree_skb` tracepoint says the packet
//! was freed, which after inlining and tail calls is often the caller of the one that decided; different kernels inline
//! differently, so a row may list several.

mod bridge;
mod device;
mod ip;
mod ipv6;
mod neighbour;
mod netfilter;
mod openvswitch;
mod queue;
mod segment;
mod socket;
mod tcp;
mod tunnel;
mod unspecified;

use super::{Explanation, Kind};

/// One row: reasons that share an explanation, in any function or in certain ones.
pub(super) struct Row {
    /// Names without `SKB_DROP_REASON_`, several where kernels renamed one or had none yet.
    pub(super) reasons: &'static [&'static str],
    /// Empty: any function.
    pub(super) functions: &'static [&'static str],
    pub(super) explanation: Explanation,
}

/// All rows, by part of the stack.
pub(super) const TABLES: &[&[Row]] = &[
    unspecified::ROWS,
    netfilter::ROWS,
    ip::ROWS,
    neighbour::ROWS,
    bridge::ROWS,
    socket::ROWS,
    tcp::ROWS,
    segment::ROWS,
    queue::ROWS,
    device::ROWS,
    ipv6::ROWS,
    tunnel::ROWS,
    openvswitch::ROWS,
];

/// Reasons of the core enum that no packet of a container network can have: CAN buses and local sockets.
#[cfg(test)]
pub(super) const ELSEWHERE: &[&str] =
    &["CAN_RX_INVALID_FRAME", "CANFD_RX_INVALID_FRAME", "CANXL_RX_INVALID_FRAME", "UNIX_DISCONNECT", "UNIX_SKIP_OOB"];

type Words = &'static [&'static str];

/// A row for a reason in any function.
const fn on(reasons: Words, kind: Kind, what: &'static str, causes: Words, look: Words) -> Row {
    at(reasons, &[], kind, what, causes, look)
}

/// A row for a reason in certain functions.
const fn at(reasons: Words, functions: Words, kind: Kind, what: &'static str, causes: Words, look: Words) -> Row {
    Row { reasons, functions, explanation: Explanation { what, causes, look, kind } }
}
