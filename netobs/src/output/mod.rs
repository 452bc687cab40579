//! What people and programs read: text, JSON, and how strangers' strings are made safe to print.

mod escape;

pub use escape::printable;
