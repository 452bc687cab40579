//! A namespace's connection tracking, as `netobs conntrack` shows it.

mod alarm;
mod record;
mod text;

pub use record::{DuringRecord, PressureRecord, SourceRecord};
pub use text::{Shown, table};
