//! What the machine looks like beside its packets: names of namespaces, their devices and addresses.

mod namespaces;
mod neighbourhood;

pub use namespaces::Namespaces;
pub use neighbourhood::Neighbourhood;
