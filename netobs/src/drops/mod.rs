//! Where the machine's packets are dropped: the kernel's counters, with names.

mod names;
mod table;
mod watch;

pub use names::Names;
pub use table::Table;
pub use watch::Watch;
