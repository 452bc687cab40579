//! The kernel functions a packet passes, where the kernel lets a program see their entry.

use super::HookRow;

/// The rows, in the order of their sites.
pub(super) const ROWS: [HookRow; 0] = [];
